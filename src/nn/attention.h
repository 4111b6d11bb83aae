// The attention layer: projections, per-head norms, rotation, state, attention, output projection.
// Sources: Vaswani et al. 2017; Ainslie et al. 2023 (grouped queries); Su et al. 2021 (rotation).
#pragma once

#include <optional>

#include "nn/layers.h"
#include "nn/pass.h"
#include "nn/state.h"

namespace stemma {

struct AttentionLayer {
  Attention spec;
  Linear qkv, out;
  std::optional<NormLayer> q_norm, k_norm;

  static AttentionLayer declare(ParamStore& store, const std::string& name, const Attention& spec,
                                int64_t width, double std, double out_std);
  // x [T,C] -> [T,C]; with `state` the keys and values of earlier calls are attended to as well.
  Tensor operator()(Ctx& c, Pass& pass, const Tensor& x, KvState* state) const;
};

}  // namespace stemma
