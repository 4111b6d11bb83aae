// Carried: what a recurrent op takes over from the earlier tokens of each sequence of a ragged
// batch, and hands on: one tensor a sequence, all of one shape. Kernels read and write these where
// they lie; under a tape and in definitions they are packed into one tensor [S, ...], so that
// gradients flow through them.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace stemma {

struct Carried {
  std::vector<Tensor> in;   // [S]; undefined where a sequence begins: zeros
  std::vector<Tensor> out;  // [S]; set by the op
};

// [S, ...one] of tensors [...one], zeros where one is undefined.
Tensor pack(Ctx& c, const std::vector<Tensor>& each, const Shape& one, DType dtype);
// The S views of [S, ...].
std::vector<Tensor> unpack(Ctx& c, const Tensor& packed);
// Errors: `each` is not one tensor of shape `one`, or none, for every sequence.
void check_carried(const char* op, const std::vector<Tensor>& each, const Ints& start,
                   const Shape& one);

}  // namespace stemma
