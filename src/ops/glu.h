// The gate of gated feed-forward layers: act(gate) * up, elementwise.
// Shapes: gate and up alike. Source: Shazeer 2020 (GLU variants).
#pragma once

#include "ops/activation.h"

namespace stemma {

Tensor glu(Ctx& c, const Tensor& gate, const Tensor& up, Activation kind);

}  // namespace stemma
