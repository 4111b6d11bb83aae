// The feed-forward layer, plain or gated. Source of the gate: Shazeer 2020.
#pragma once

#include "nn/layers.h"

namespace stemma {

struct FeedForwardLayer {
  Activation act = Activation::gelu;
  bool gated = false;
  Linear inner;  // gate | up where it is gated, else up
  Linear down;
  Tensor operator()(Ctx& c, const Tensor& x) const;  // [T,C] -> [T,C]
};

FeedForwardLayer declare(const Place& place, const Mlp& spec);
FeedForwardLayer declare(const Place& place, const Glu& spec);

}  // namespace stemma
