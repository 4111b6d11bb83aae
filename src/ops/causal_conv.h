// Causal depthwise convolution over the tokens of each sequence, and an activation:
//   y_t = f(b + sum over k < K of w_k x_{t-K+1+k}), channel by channel.
// What lies before a sequence is the tail of its earlier tokens where one is carried, else zeros.
// Shapes: x, y [T,C]; w [C,K]; b [C] or undefined; a tail [K-1,C], the last inputs, oldest first.
// start [S+1] are the offsets of the sequences. However a sequence is cut, y has the same bits.
// Errors: shapes that do not fit; more than 32 taps. Source: Gu, Dao 2023.
#pragma once

#include "ops/activation.h"
#include "ops/carried.h"

namespace stemma {

// `tails` may be null: nothing is carried.
Tensor causal_conv(Ctx& c, const Tensor& x, const Tensor& w, const Tensor& b, const Ints& start,
                   Activation act, Carried* tails = nullptr);

}  // namespace stemma
