// linear: y = x W^T + b, the product every layer is made of. x [T,K], W [N,K], b [N] or none
// -> [T,N]. Accumulates over ascending k, so a row of y depends on its row of x alone, bitwise.
// Errors: shapes that do not fit. Thread safety: see Weight.
#pragma once

#include "ops/weight.h"

namespace stemma {

// `w` must live as long as the tape that records the call.
Tensor linear(Ctx& c, const Tensor& x, const Weight& w);
// Of loose tensors, packed on the way.
Tensor linear(Ctx& c, const Tensor& x, const Tensor& w, const Tensor& b = {});

}  // namespace stemma
