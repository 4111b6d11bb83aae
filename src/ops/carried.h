// Carried: what a recurrent op takes over from the earlier tokens of each sequence of a ragged
// batch, and hands on: one tensor a sequence, all of one shape. Kernels read and write these where
// they lie; under a tape and in definitions they are packed into one tensor [S, ...], so that
// gradients flow through them.
#pragma once

#include <span>

#include "tensor/tensor.h"

namespace stemma {

struct Carried {
  PoolVector<Tensor> in;   // [S]; undefined where a sequence begins: zeros
  PoolVector<Tensor> out;  // [S]; set by the op
};

// [S, ...one] of tensors [...one], zeros where one is undefined.
Tensor pack(Ctx& c, std::span<const Tensor> each, const Shape& one, DType dtype);
// The S views of [S, ...].
PoolVector<Tensor> unpack(Ctx& c, const Tensor& packed);
// Errors: `each` is not one tensor of shape `one`, or none, for every sequence.
void check_carried(const char* op, std::span<const Tensor> each, size_t sequences,
                   const Shape& one);

}  // namespace stemma
