#include "families/llama_like.h"

#include "families/config.h"

namespace stemma {
ModelSpec llama_like(const Json& config, std::string_view architecture,
                     const LlamaDefaults& defaults) {
  const int width = integer(config, "hidden_size", defaults.width);
  const Norm norm{NormKind::rms, config.get("rms_norm_eps", defaults.eps)};

  Attention attention;
  attention.heads = integer(config, "num_attention_heads", defaults.heads);
  attention.kv_heads = integer(config, "num_key_value_heads",
                               defaults.kv_heads ? defaults.kv_heads : attention.heads);
  check(attention.heads % attention.kv_heads == 0, "[config.json] ", attention.heads,
        " attention heads are not a multiple of ", attention.kv_heads, " key-value heads");
  const Json* head_dim = config.find("head_dim");
  attention.head_size = !head_dim && defaults.head_size ? *defaults.head_size
                                                        : head_size(config, width, attention.heads);
  attention.causal =
      config.get("is_causal", true) && !config.get("use_bidirectional_attention", false);
  attention.scale = inverse_sqrt(attention.head_size);
  attention.q_bias = attention.k_bias = attention.v_bias = attention.out_bias =
      config.get("attention_bias", false);
  attention.position = rope_of(config, attention.head_size, defaults.theta);

  BlockSpec block;
  block.mixer = attention;
  block.mix.in = block.ff.in = norm;
  block.ffn =
      Glu{integer(config, "intermediate_size", defaults.inner),
          activation_from_name(config.get("hidden_act", "silu")), config.get("mlp_bias", false)};

  ModelSpec spec;
  spec.max_positions = integer(config, "max_position_embeddings", defaults.max_positions);
  spec.embed.vocab = integer(config, "vocab_size", defaults.vocab);
  spec.embed.width = width;
  spec.embed.padding_id = padding_id(config, defaults.padding_id, spec.embed.vocab);
  spec.decoder =
      StackSpec{std::vector<BlockSpec>(layer_count(config, defaults.layers), block), norm};
  spec.ties.lm_head = config.get("tie_word_embeddings", false);
  spec.init_std = config.get("initializer_range", 0.02);
  if (architecture.ends_with("ForCausalLM")) {
    spec.heads = {LmHead{}};
  } else if (architecture.ends_with("ForSequenceClassification")) {
    Classifier score;
    score.reads = Reads::last_token;
    score.labels = label_count(config);
    score.bias = false;
    score.problem = problem_type(config);
    spec.heads = {score};
  }
  return spec;
}

WeightRules llama_rules(std::string_view architecture) {
  WeightRules rules = {
      "model.",
      {
          {"embed_tokens.weight", "embed.tokens"},
          {"layers.{L}.input_layernorm.weight", "decoder.{L}.attn.norm_in.weight"},
          {"layers.{L}.self_attn.q_proj.weight", "decoder.{L}.attn.q.weight"},
          {"layers.{L}.self_attn.q_proj.bias", "decoder.{L}.attn.q.bias"},
          {"layers.{L}.self_attn.k_proj.weight", "decoder.{L}.attn.k.weight"},
          {"layers.{L}.self_attn.k_proj.bias", "decoder.{L}.attn.k.bias"},
          {"layers.{L}.self_attn.v_proj.weight", "decoder.{L}.attn.v.weight"},
          {"layers.{L}.self_attn.v_proj.bias", "decoder.{L}.attn.v.bias"},
          {"layers.{L}.self_attn.o_proj.weight", "decoder.{L}.attn.out.weight"},
          {"layers.{L}.self_attn.o_proj.bias", "decoder.{L}.attn.out.bias"},
          {"layers.{L}.post_attention_layernorm.weight", "decoder.{L}.ffn.norm_in.weight"},
          {"layers.{L}.mlp.gate_proj.weight", "decoder.{L}.ffn.gate.weight"},
          {"layers.{L}.mlp.gate_proj.bias", "decoder.{L}.ffn.gate.bias"},
          {"layers.{L}.mlp.up_proj.weight", "decoder.{L}.ffn.up.weight"},
          {"layers.{L}.mlp.up_proj.bias", "decoder.{L}.ffn.up.bias"},
          {"layers.{L}.mlp.down_proj.weight", "decoder.{L}.ffn.down.weight"},
          {"layers.{L}.mlp.down_proj.bias", "decoder.{L}.ffn.down.bias"},
          {"norm.weight", "decoder.final_norm.weight"},
          {"lm_head.weight", "heads.lm.decoder.weight", true},
          {"score.weight", "heads.classifier.weight", true},
      },
      {"layers.{L}.self_attn.rotary_emb.inv_freq", "rotary_emb.inv_freq"},
      {},
  };
  rules.bare = architecture.ends_with("Model");
  return rules;
}

}  // namespace stemma
