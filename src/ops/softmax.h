// softmax and its logarithm over the last dimension, any leading shape.
#pragma once

#include "tensor/tensor.h"

namespace stemma {

Tensor softmax(Ctx& c, const Tensor& x);
Tensor log_softmax(Ctx& c, const Tensor& x);

}  // namespace stemma
