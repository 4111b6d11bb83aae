// The time step of a state-space layer: y = softplus(x + b), held between two bounds.
// Shapes: x, y [..., H]; b [H] or undefined. `high` may be infinite.
// Errors: shapes that do not fit; bounds that are not 0 <= low <= high. Source: Gu, Dao 2023.
#pragma once

#include "tensor/tensor.h"

namespace stemma {

Tensor time_step(Ctx& c, const Tensor& x, const Tensor& b, double low, double high);

}  // namespace stemma
