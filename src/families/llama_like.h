// What the relatives of Llama share: pre-norm causal decoder, RMS norms, rotary positions, grouped
// queries, gated feed-forward. A relative starts from this and overrides.
#pragma once

#include "model/family.h"

namespace stemma {

struct LlamaDefaults {
  int vocab = 32000, width = 4096, inner = 11008, layers = 32, heads = 32, kv_heads = 0;
  int max_positions = 2048;
  std::optional<int> head_size;
  double eps = 1e-6, theta = 1e4;
  std::optional<int> padding_id;
};

ModelSpec llama_like(const Json& config, std::string_view architecture,
                     const LlamaDefaults& defaults);
// The published names; `bare` for the *Model class.
WeightRules llama_rules(std::string_view architecture);

}  // namespace stemma
