// gemm: the matrix product C [M,N] = A [M,K] B [K,N] (+ epilogue) in f32, C row-major.
// One dot order: every element is the chain of fused multiply-adds over ascending k, from zero (or
// from C where it accumulates), and then the epilogue. So a row is bitwise the same alone and among
// thousands, at any thread count, and at every CPU level.
// B may be packed once and used many times (Panels). Work is cut by problem size.
// Thread safety: concurrent calls are independent; Panels are read-only once made.
#pragma once

#include <cstdint>

#include "tensor/ctx.h"
#include "tensor/dtype.h"

namespace stemma {

// A matrix in memory, of f32, bf16 or (as the right operand only) f16. `stride` is the distance of
// stored rows; transposed: element (i, j) of the matrix is stored at row j, column i.
struct MatrixRef {
  const void* data = nullptr;
  int64_t stride = 0;
  bool transposed = false;
  DType dtype = DType::f32;
};

// The right operand B [K,N] cut into panels of 32 columns: panel p holds, for each k, the
// columns from 32 p side by side, zeros past N. One layout serves every CPU level.
struct Panels {
  static constexpr int64_t kColumns = 32;
  int64_t k = 0, n = 0;
  Buffer data;

  explicit operator bool() const { return data != nullptr; }
  const float* panel(int64_t p) const {
    return reinterpret_cast<const float*>(data.get()) + p * k * kColumns;
  }
};

Panels pack_panels(Ctx& c, const MatrixRef& b, int64_t k, int64_t n);

// What happens to the finished dot products.
struct Epilogue {
  const float* bias = nullptr;  // [N], added to every row
  bool accumulate = false;      // the chain starts from what C holds
};

void gemm(Ctx& c, int64_t m, const MatrixRef& a, const Panels& b, const Epilogue& epilogue,
          float* out, int64_t out_stride);
// Packs B on the way.
void gemm(Ctx& c, int64_t m, int64_t n, int64_t k, const MatrixRef& a, const MatrixRef& b,
          const Epilogue& epilogue, float* out, int64_t out_stride);

}  // namespace stemma
