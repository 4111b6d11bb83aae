// Negative log-likelihoods, one a row: nll[t] = -log softmax(logits[t])[labels[t]]; 0, without
// gradient, where the label is negative. Reductions (mean over counted rows, sums) are the
// caller's. Errors: a label that is not below V.
#pragma once

#include "ops/linear.h"
#include "tensor/tensor.h"

namespace stemma {

// logits [T,V], labels [T] i32 -> [T].
Tensor cross_entropy(Ctx& c, const Tensor& logits, const Tensor& labels);

// The same of logits = linear(hidden, w), without ever holding all of them: hidden [T,C], w [V,C],
// labels [T] i32 -> [T]. Rows that are not counted cost nothing. `w` must live as long as the tape
// that records the call.
Tensor linear_cross_entropy(Ctx& c, const Tensor& hidden, const Weight& w, const Tensor& labels);
// How many rows of logits it holds at once: 32 MB of them, but enough for an efficient product.
int64_t linear_cross_entropy_rows(int64_t vocab);

}  // namespace stemma
