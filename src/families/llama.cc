// Llama 1, 2, 3.x: pre-norm causal decoder with RoPE, grouped queries and a gated feed-forward.
// Source: Touvron et al. 2023; transformers models/llama.
#include "families/llama_like.h"

namespace stemma {

STEMMA_FAMILY(llama, "gpt2", "RMS norms, RoPE, a gated feed-forward, grouped queries, no biases",
              "LlamaForCausalLM", "LlamaModel", "LlamaForSequenceClassification") {
  return {llama_like(config, architecture, {}), llama_rules(architecture)};
}

}  // namespace stemma
