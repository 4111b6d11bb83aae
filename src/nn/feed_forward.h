// Feed-forward layers: what a block computes of each token alone. Each alternative of the spec's
// Ffn has a layer as mixers do (nn/mixer.h). Source of the gate: Shazeer 2020.
#pragma once

#include <variant>

#include "nn/layers.h"

namespace stemma {

// Plain or gated.
struct FeedForwardLayer {
  Activation act = Activation::gelu;
  bool gated = false;
  Linear inner;  // gate | up where it is gated, else up
  Linear down;
  Tensor operator()(Ctx& c, const Tensor& x) const;  // [T,C] -> [T,C]
};

FeedForwardLayer declare(const Place& place, const Mlp& spec);
FeedForwardLayer declare(const Place& place, const Glu& spec);
std::monostate declare(const Place& place, const NoFfn& spec);

using FfnLayer = std::variant<std::monostate, FeedForwardLayer>;
FfnLayer declare(const Place& place, const Ffn& spec);
// The widest rows inside.
int inner_width(const Ffn& spec);

}  // namespace stemma
