#include "families/mamba_like.h"

namespace stemma {

// No position is too far for a recurrence; so many tokens are as good as no bound.
constexpr int kMostPositions = 1 << 20;

ModelSpec mamba_like(const Json& config, std::string_view architecture, const Mixer& mixer,
                     const MambaDefaults& defaults) {
  BlockSpec block;
  block.mixer = mixer;
  block.mix.in = Norm{NormKind::rms, config.get("layer_norm_epsilon", 1e-5)};
  block.ffn = NoFfn{};
  ModelSpec spec;
  spec.max_positions = kMostPositions;
  spec.embed.vocab = integer(config, "vocab_size", defaults.vocab);
  spec.embed.width = integer(config, "hidden_size", defaults.width);
  spec.decoder =
      StackSpec{std::vector<BlockSpec>(layer_count(config, defaults.layers), block), block.mix.in};
  spec.decoder->listed = Listed::outputs;
  spec.ties.lm_head = config.get("tie_word_embeddings", defaults.tied);
  spec.init_std = config.get("initializer_range", 0.1);
  if (architecture.ends_with("ForCausalLM")) spec.heads = {LmHead{}};
  return spec;
}

WeightRules mamba_rules(std::string_view architecture, const std::vector<WeightRule>& own) {
  WeightRules rules = {
      "backbone.",
      {
          {"embeddings.weight", "embed.tokens"},
          {"layers.{L}.norm.weight", "decoder.{L}.attn.norm_in.weight"},
          {"layers.{L}.mixer.in_proj.weight", "decoder.{L}.attn.in.weight"},
          {"layers.{L}.mixer.in_proj.bias", "decoder.{L}.attn.in.bias"},
          {"layers.{L}.mixer.conv1d.weight", "decoder.{L}.attn.conv.weight"},
          {"layers.{L}.mixer.conv1d.bias", "decoder.{L}.attn.conv.bias"},
          {"layers.{L}.mixer.A_log", "decoder.{L}.attn.a_log"},
          {"layers.{L}.mixer.D", "decoder.{L}.attn.skip"},
          {"layers.{L}.mixer.out_proj.weight", "decoder.{L}.attn.out.weight"},
          {"layers.{L}.mixer.out_proj.bias", "decoder.{L}.attn.out.bias"},
          {"norm_f.weight", "decoder.final_norm.weight"},
          {"lm_head.weight", "heads.lm.decoder.weight", true},
      },
      {},
      {{"embedding.weight", "embeddings.weight"}},
  };
  rules.rules.insert(rules.rules.end(), own.begin(), own.end());
  rules.bare = architecture.ends_with("Model");
  return rules;
}

int conv_taps(const Json& config) {
  const int taps = integer(config, "conv_kernel", 4);
  if (taps < 2 || taps > 32)
    fail(Code::kUnsupported, "[config.json] conv_kernel ", taps, "; it must be 2 to 32");
  return taps;
}

FirstSteps first_steps(const Json& config) {
  return {config.get("time_step_min", 0.001), config.get("time_step_max", 0.1),
          config.get("time_step_floor", 1e-4)};
}

}  // namespace stemma
