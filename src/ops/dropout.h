// Dropout: each element of x is zero with probability `rate`, and else divided by 1 - rate.
// Shapes: x, y [..., C]. Which elements: a function of the key and of the element's place, (row,
// column), never of the order of calls; a caller's key is
// RngKey(seed).of("dropout").at(step).at(op). `rows` [rows of x] i32 names the rows, so that a
// token's mask does not depend on its batch; undefined stands for 0, 1, 2, ... With rate 0 it is x
// itself. Errors: a rate outside [0, 1), names that do not fit. Source: Srivastava et al. 2014.
#pragma once

#include "base/rng.h"
#include "tensor/tensor.h"

namespace stemma {

Tensor dropout(Ctx& c, const Tensor& x, double rate, RngKey key, const Tensor& rows = {});

}  // namespace stemma
