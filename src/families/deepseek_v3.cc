// DeepSeek-V3 and R1, and Kimi K2, which runs as it: latent attention, experts in groups whose
// loads a correction balances, one or more that every token goes through, modules for further
// tokens. Sources: DeepSeek-AI 2024 (DeepSeek-V3); transformers models/deepseek_v3.
#include "families/config.h"
#include "families/llama_like.h"

namespace stemma {
namespace {

using Names = std::pair<std::string, std::string>;  // published, own

// What a block's tensors are called, beside Llama's.
const Names kBlock[] = {
    {"self_attn.q_a_proj.weight", "attn.q_a.weight"},
    {"self_attn.q_a_proj.bias", "attn.q_a.bias"},
    {"self_attn.q_a_layernorm.weight", "attn.q_norm.weight"},
    {"self_attn.q_b_proj.weight", "attn.q_b.weight"},
    {"self_attn.kv_a_proj_with_mqa.weight", "attn.kv_a.weight"},
    {"self_attn.kv_a_proj_with_mqa.bias", "attn.kv_a.bias"},
    {"self_attn.kv_a_layernorm.weight", "attn.kv_norm.weight"},
    {"self_attn.kv_b_proj.weight", "attn.kv_b.weight"},
    {"mlp.gate.weight", "ffn.router.weight"},
    {"mlp.gate.e_score_correction_bias", "ffn.router.correction"},
    {"mlp.experts.{E}.gate_proj.weight", "ffn.experts.{E}.gate.weight"},
    {"mlp.experts.{E}.up_proj.weight", "ffn.experts.{E}.up.weight"},
    {"mlp.experts.{E}.down_proj.weight", "ffn.experts.{E}.down.weight"},
    {"mlp.shared_experts.gate_proj.weight", "ffn.shared.gate.weight"},
    {"mlp.shared_experts.up_proj.weight", "ffn.shared.up.weight"},
    {"mlp.shared_experts.down_proj.weight", "ffn.shared.down.weight"},
};
// And those around the block of a module.
const Names kModule[] = {
    {"enorm.weight", "norm_e.weight"},
    {"hnorm.weight", "norm_h.weight"},
    {"eh_proj.weight", "in.weight"},
    {"shared_head.norm.weight", "stack.final_norm.weight"},
};

WeightRules rules_of(std::string_view architecture, size_t layers, size_t modules) {
  const std::string layer = "layers.{L}.", block = "decoder.{L}.";
  WeightRules rules = llama_rules(architecture);
  rules.rules.push_back({"score.bias", "heads.classifier.bias", true});
  for (const auto& [theirs, ours] : kBlock) rules.rules.push_back({layer + theirs, block + ours});
  // Files carry the modules as layers past the last one, with copies of the embedding and the head.
  std::vector<WeightRule> further;
  for (size_t k = 0; k < modules; ++k) {
    const std::string published = cat("layers.", layers + k, "."),
                      own = cat("heads.multi_token.", k, ".");
    for (const auto& [theirs, ours] : kModule) further.push_back({published + theirs, own + ours});
    for (const WeightRule& rule : rules.rules)
      if (rule.published.starts_with(layer))
        further.push_back({published + rule.published.substr(layer.size()),
                           own + "stack.0." + rule.own.front().substr(block.size())});
    rules.ignorable.push_back(published + "embed_tokens.weight");
    rules.ignorable.push_back(published + "shared_head.head.weight");
  }
  rules.rules.insert(rules.rules.begin(), further.begin(), further.end());
  return rules;
}

void refuse_others(const Json& config) {
  const bool fits = config.get("scoring_func", "sigmoid") == "sigmoid" &&
                    config.get("topk_method", "noaux_tc") == "noaux_tc" &&
                    config.get("moe_layer_freq", 1) == 1;
  if (!fits)
    fail(Code::kUnsupported,
         "[config.json] scoring_func, topk_method or moe_layer_freq is not \"sigmoid\", "
         "\"noaux_tc\", 1: another router than DeepSeek-V3's");
}

LatentAttention attention_of(const Json& config) {
  LatentAttention a;
  a.heads = integer(config, "num_attention_heads", 128);
  if (integer(config, "num_key_value_heads", a.heads) != a.heads)
    fail(Code::kUnsupported, "[config.json] num_key_value_heads is not num_attention_heads, ",
         a.heads);
  const Json* q_rank = config.find("q_lora_rank");
  a.q_rank = q_rank && q_rank->is_null() ? 0 : integer(config, "q_lora_rank", 1536);
  a.kv_rank = integer(config, "kv_lora_rank", 512);
  a.head_size = integer(config, "qk_nope_head_dim", 128);
  a.value_size = integer(config, "v_head_dim", 128);
  const int turned = integer(config, "qk_rope_head_dim", 64);
  a.position = rope_of(config, turned, 1e4);
  a.position.interleaved = config.get("rope_interleave", true);
  a.scale = inverse_sqrt(a.head_size + turned) * rope_score_factor(a.position);
  a.bias = config.get("attention_bias", false);
  return a;
}

Experts experts_of(const Json& config) {
  Experts e;
  e.inner = integer(config, "moe_intermediate_size", 2048);
  e.shared_inner = e.inner * static_cast<int>(config.get("n_shared_experts", 1));
  e.act = activation_from_name(config.get("hidden_act", "silu"));
  e.routing.scores = Routing::Scores::sigmoid;
  e.routing.corrected = true;
  e.routing.experts = integer(config, "n_routed_experts", 256);
  e.routing.chosen = integer(config, "num_experts_per_tok", 8);
  e.routing.groups = integer(config, "n_group", 8);
  e.routing.kept_groups = integer(config, "topk_group", 4);
  e.routing.normalised = config.get("norm_topk_prob", true);
  e.routing.scale = config.get("routed_scaling_factor", 2.5);
  return e;
}

Resolved resolve_as(const Json& config, std::string_view architecture, int default_modules) {
  refuse_others(config);
  LlamaDefaults defaults;
  defaults.vocab = 129280, defaults.inner = 18432, defaults.max_positions = 4096;
  defaults.head_size = 64;  // of no account
  defaults.width = 7168, defaults.heads = 128, defaults.layers = 61;
  ModelSpec spec = llama_like(config, architecture, defaults);
  std::vector<BlockSpec>& blocks = spec.decoder->blocks;
  const int64_t dense = config.get("first_k_dense_replace", 3);
  BlockSpec block = blocks.front();
  block.mixer = attention_of(config);
  for (BlockSpec& b : blocks) b.mixer = block.mixer;
  block.ffn = experts_of(config);
  for (size_t l = 0; l < blocks.size(); ++l)
    if (static_cast<int64_t>(l) >= dense) blocks[l].ffn = block.ffn;

  if (architecture.ends_with("ForTokenClassification")) {
    Classifier score;
    score.reads = Reads::tokens;
    score.labels = label_count(config);
    spec.heads = {score};
  }
  const int64_t modules = config.get("num_nextn_predict_layers", default_modules);
  check(modules >= 0 && modules <= 64, "[config.json] num_nextn_predict_layers is ", modules);
  const Norm norm = *block.mix.in;
  if (modules > 0 && architecture.ends_with("ForCausalLM"))
    spec.multi_token =
        MultiToken{std::vector(static_cast<size_t>(modules), StackSpec{{block}, norm}), norm};
  return {spec, rules_of(architecture, blocks.size(), static_cast<size_t>(modules))};
}

}  // namespace

STEMMA_FAMILY(deepseek_v3, "deepseek_v2",
              "loads of experts balanced by a correction, sigmoid scores, further tokens predicted",
              "DeepseekV3ForCausalLM", "DeepseekV3Model", "DeepseekV3ForSequenceClassification",
              "DeepseekV3ForTokenClassification") {
  return resolve_as(config, architecture, 1);
}

STEMMA_FAMILY(kimi_k2, "deepseek_v3", "more experts in one group, fewer heads",
              "DeepseekV3ForCausalLM") {
  return resolve_as(config, architecture, 0);
}

}  // namespace stemma
