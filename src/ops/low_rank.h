// add_low_rank: y[t, column + j] += scale sum_i h[t, i] B[j, i], h = x A^T, for the rows t in
// [begin, end): what a low-rank adapter (Hu et al. 2021) adds to the slice [column, column + n) of
// a projection. y [T,N], x [T,K], A [r,K], B [n,r]. A row depends on its own x alone, bitwise.
// Errors: shapes that do not fit. Thread safety: const use of the operands.
#pragma once

#include "autograd/tape.h"

namespace stemma {

struct LowRank {
  int64_t begin = 0, end = 0;  // rows
  int64_t column = 0;
  float scale = 1;
};

// `y` must have just been made, and be read by nobody else: its memory becomes the result's.
Tensor add_low_rank(Ctx& c, const Tensor& y, const Tensor& x, const Tensor& a, const Tensor& b,
                    const LowRank& place);

}  // namespace stemma
