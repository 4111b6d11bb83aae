// Llama 1, 2, 3.x: pre-norm causal decoder with RoPE, grouped queries and a gated feed-forward.
// Source: Touvron et al. 2023; transformers models/llama.
#include "families/llama_like.h"

namespace stemma {

STEMMA_FAMILY(llama, "pre-norm causal decoder, RoPE, grouped queries, gated feed-forward",
              "LlamaForCausalLM", "LlamaModel", "LlamaForSequenceClassification") {
  return {llama_like(config, architecture, {}), llama_rules(architecture)};
}

}  // namespace stemma
