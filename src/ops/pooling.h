// One vector a sequence from its rows, as the Pooling module of sentence-transformers does, and the
// Normalize module.
// Shapes: x [T,C], start [S+1] offsets of the sequences, out [S,C]. skip, empty or [S]: so many
// rows at the head of each sequence do not count (prompts). A sequence without counted rows gives
// zeros. Errors: offsets that do not cut x, a skip beyond its sequence.
#pragma once

#include "tensor/tensor.h"

namespace stemma {

enum class Pooling {
  cls,            // the first row
  mean,           // the sum, divided by the number of rows n
  max,            // each column's greatest
  mean_sqrt_len,  // the sum, divided by sqrt(n)
  weighted_mean,  // the mean with weights 1, 2, ...: a row's place in its sequence, skipped
                  // included
  last,           // the last row
};

Tensor pool(Ctx& c, const Tensor& x, const Ints& start, Pooling mode, const Ints& skip = {});

// Rows of length 1: x / max(|x|, 1e-12) over the last dimension.
Tensor normalize(Ctx& c, const Tensor& x);

}  // namespace stemma
