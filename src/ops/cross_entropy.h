// Negative log-likelihoods, one a row: nll[t] = -log softmax(logits[t])[labels[t]]; 0, without
// gradient, where the label is negative. Reductions (mean over counted rows, sums) are the
// caller's. Errors: a label that is not below V.
#pragma once

#include "tensor/tensor.h"

namespace stemma {

// logits [T,V], labels [T] i32 -> [T].
Tensor cross_entropy(Ctx& c, const Tensor& logits, const Tensor& labels);

}  // namespace stemma
