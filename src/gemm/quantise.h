// Rows to integers, the same at every level: v stands for q * scale.
// Thread safety: all functions.
#pragma once

#include <cstdint>

#include "gemm/gemm.h"

namespace stemma::quantise {

// Elements [begin, begin + n) of a stored matrix as f32.
void widen(const MatrixRef& a, int64_t begin, int64_t n, float* out);
// The scale that maps n values to [-127, 127]; NaN where one of them is not finite.
float scale_of(const float* x, int64_t n);
// q [n] = x / scale to nearest (ties to even), + `offset`; zeros from n to `padded`.
// Returns the sum of the numbers before the offset.
int32_t to_int8(const float* x, int64_t n, float scale, int offset, int64_t padded, uint8_t* q);

}  // namespace stemma::quantise
