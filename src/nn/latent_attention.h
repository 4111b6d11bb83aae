// Latent attention: keys and values of all heads come from one short vector c a token, and a
// rotated part of the key is shared by all heads. With W_k[h], W_v[h] the rows of kv_b for head h,
//   score = (q_n . W_k[h] c + q_r . k_r) scale,   out_h = sum of p W_v[h] c.
// Two readings of the same formula:
//   plain     keys and values are made from c: fewer operations a pair. Without a state.
//   absorbed  (W_k[h]^T q_n) . c and W_v[h] (sum of p c): attention of one key head, so that a
//   state
//             keeps c and k_r alone. With a state, for every number of tokens, since a prompt must
//             not depend on how it was cut; the two readings agree to rounding (1e-5), not bitwise.
// Source: DeepSeek-AI 2024 (DeepSeek-V2), section 2.1; transformers models/deepseek_v3.
#pragma once

#include <optional>

#include "nn/layers.h"
#include "nn/pass.h"
#include "nn/state.h"

namespace stemma {

struct LatentAttentionLayer {
  LatentAttention spec;
  Linear down;                 // q_a (or all of q) | kv_a, of x
  std::optional<Linear> q_up;  // q_b, of the compressed queries
  std::optional<NormLayer> q_norm;
  NormLayer kv_norm;
  Linear kv_up;                                 // kv_b, of c
  std::vector<const Weight*> key_up, value_up;  // for each head its rows of kv_b: W_k^T and W_v
  Linear out;

  // x [T,C] -> [T,C]
  Tensor operator()(Ctx& c, Pass& pass, const Tensor& x, LayerState* state) const;
};

LatentAttentionLayer declare(const Place& place, const LatentAttention& spec);
void add_state(const LatentAttention& spec, DType kv, std::vector<StateSpec>& out);
bool is_causal(const LatentAttention& spec);

}  // namespace stemma
