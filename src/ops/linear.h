// linear: y = x W^T + b, the product every layer is made of, and what may follow it in one pass.
// x [T,K] f32, its rows maybe apart; W [N,K], b [N] or none -> [T,N] f32.
// In f32 a row of y is a chain over ascending k; in every format it depends on its row of x alone,
// bitwise. Errors: shapes that do not fit. Thread safety: see Weight.
#pragma once

#include "ops/activation.h"
#include "ops/weight.h"

namespace stemma {

// What follows the product; each step has the bits of the op that it replaces.
struct LinearThen {
  Activation activation = Activation::identity;
  // activation(the first half of the columns) * the second half -> [T, N/2]: glu().
  bool gated = false;
};

// As ops of their own, of a product y [T,N].
Tensor follow(Ctx& c, const Tensor& y, const LinearThen& then);

// `w` must live as long as the tape that records the call.
Tensor linear(Ctx& c, const Tensor& x, const Weight& w, const LinearThen& then = {});
// Of loose tensors, packed on the way.
Tensor linear(Ctx& c, const Tensor& x, const Tensor& w, const Tensor& b = {});

}  // namespace stemma
