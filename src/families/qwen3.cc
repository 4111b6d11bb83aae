// Qwen3: Llama's wiring with an RMS norm on each query and key head.
// Source: Qwen team 2025; transformers models/qwen3. Sliding windows hold for the layers that
// layer_types names, or from max_window_layers on where use_sliding_window says so.
#include "families/config.h"
#include "families/llama_like.h"

namespace stemma {
namespace {

bool slides(const Json& config, size_t layer) {
  if (!config.get("use_sliding_window", false)) return false;
  if (const Json* types = config.find("layer_types"); types && types->is_array())
    return types->at(layer).as_string() == "sliding_attention";
  return static_cast<int64_t>(layer) >= config.get("max_window_layers", 28);
}

}  // namespace

STEMMA_FAMILY(qwen3, "llama", "norms on each query and key head", "Qwen3ForCausalLM", "Qwen3Model",
              "Qwen3ForSequenceClassification") {
  LlamaDefaults defaults;
  defaults.vocab = 151936;
  defaults.inner = 22016;
  defaults.kv_heads = 32;
  defaults.max_positions = 32768;
  defaults.head_size = 128;
  ModelSpec spec = llama_like(config, architecture, defaults);
  std::vector<BlockSpec>& blocks = spec.decoder->blocks;
  for (size_t layer = 0; layer < blocks.size(); ++layer) {
    Attention& attention = std::get<Attention>(blocks[layer].mixer);
    attention.qk_norm = blocks[layer].mix.in;
    if (slides(config, layer)) attention.window = integer(config, "sliding_window", 4096);
  }
  WeightRules rules = llama_rules(architecture);
  rules.rules.push_back({"layers.{L}.self_attn.q_norm.weight", "decoder.{L}.attn.q_norm.weight"});
  rules.rules.push_back({"layers.{L}.self_attn.k_norm.weight", "decoder.{L}.attn.k_norm.weight"});
  return {spec, rules};
}

}  // namespace stemma
