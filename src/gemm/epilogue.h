// What follows the dot products, on a block of them: see Epilogue. Thread safety: all functions.
#pragma once

#include "gemm/gemm.h"

namespace stemma {

// Whether the sums are the output as they stand.
inline bool trivial(const Epilogue& e) {
  return e.bias == nullptr && e.activation == Activation::identity && !e.gated && e.scale == 1 &&
         e.residual == nullptr && e.out == DType::f32;
}

// Elements [row, row + rows) x [column, column + columns) of `out`, whose sums are given; `up`: the
// sums of the other half, `half` columns further, where gated. The sums are overwritten.
struct Block {
  int64_t row, rows, column, columns;
  float* sums;
  const float* up;
  int64_t stride;
  int64_t half;
};
void finish(const Epilogue& e, const Block& block, void* out, int64_t out_stride);

}  // namespace stemma
