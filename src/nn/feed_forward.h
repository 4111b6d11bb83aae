// The feed-forward layer, plain or gated. Source of the gate: Shazeer 2020.
#pragma once

#include <variant>

#include "nn/layers.h"

namespace stemma {

struct FeedForwardLayer {
  Ffn spec;
  Linear inner;  // gate | up where the spec is a Glu, else up
  Linear down;

  static FeedForwardLayer declare(ParamStore& store, const std::string& name, const Ffn& spec,
                                  int64_t width, double std, double out_std);
  Tensor operator()(Ctx& c, const Tensor& x) const;  // [T,C] -> [T,C]
};

}  // namespace stemma
