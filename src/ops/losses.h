// Losses of classification heads, elementwise; the mean is the caller's.
#pragma once

#include "tensor/tensor.h"

namespace stemma {

// -(target log sigmoid(x) + (1 - target) log(1 - sigmoid(x))), without overflow. Targets in [0, 1].
Tensor binary_cross_entropy_with_logits(Ctx& c, const Tensor& logits, const Tensor& targets);
// (x - target)^2
Tensor squared_error(Ctx& c, const Tensor& x, const Tensor& targets);

}  // namespace stemma
