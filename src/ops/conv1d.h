// Convolution along the tokens of each sequence, centred: what stands before its first token and
// after its last is zero.
#pragma once

#include <span>

#include "tensor/tensor.h"

namespace stemma {

// x [T,C], weight [N, C / groups, taps] with an odd number of taps, bias [N] or undefined -> [T,N]:
// y[t,n] = bias[n] + sum over i, k of weight[n,i,k] x[t + k - taps / 2, i], i running over the
// columns of n's group. `start` [S+1] are the sequences' offsets. Multiplied in Numerics::dtype,
// summed in f32.
Tensor conv1d(Ctx& c, const Tensor& x, const Tensor& weight, const Tensor& bias,
              std::span<const int32_t> start, int groups = 1);

}  // namespace stemma
