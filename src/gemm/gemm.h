// gemm: the matrix product C [M,N] = A [M,K] B [K,N] and what happens to it next (Epilogue).
// B stands in one of several formats (Format), packed once and used many times (Panels) or, f32
// and bf16, on the way. Sums are f32, for int8 and int4 integers.
// One dot order per (level, format): a row is bitwise the same alone and among thousands, at any
// thread count. f32: every element is one chain of fused multiply-adds over ascending k, from zero
// (or from C where it accumulates), the same bits at every level. bf16: the same chain over rounded
// operands below the level avx512_bf16, the order of the instruction there and at amx. int8, int4:
// sums are exact, so every level gives the same bits.
// Layouts: docs/adr/0007-gemm-formats.md. Errors: what a format cannot hold.
// Thread safety: concurrent calls are independent; Panels are read-only once made.
#pragma once

#include <cstdint>
#include <span>

#include "simd/activation.h"
#include "tensor/ctx.h"
#include "tensor/dtype.h"

namespace stemma {

// How the right operand is stored, and the left one is taken.
enum class Format : uint8_t {
  f32,
  bf16,  // both rounded to bf16
  int8,  // B symmetric with a scale per column, A with a scale per row found as it comes
  int4,  // B in groups along k with a scale each; A int8 with a scale per row and group
};
const char* format_name(Format format);

struct Layout {
  Format format = Format::f32;
  int64_t group = 0;  // int4: 32, 64 or 128
  bool operator==(const Layout&) const = default;
};

// A matrix in memory, of f32, bf16 or (as the right operand only) f16. `stride` is the distance of
// stored rows; transposed: element (i, j) of the matrix is stored at row j, column i.
struct MatrixRef {
  const void* data = nullptr;
  int64_t stride = 0;
  bool transposed = false;
  DType dtype = DType::f32;
};

// `rows` stored rows of an operand that is stored in several pieces, one below the other.
struct Piece {
  MatrixRef matrix;
  int64_t rows;
};

// The right operand B [K,N] cut into panels of 32 columns, zeros past N. One layout per format
// serves every CPU level.
struct Panels {
  static constexpr int64_t kColumns = 32;
  Layout layout;
  int64_t k = 0, n = 0;
  Buffer data;

  explicit operator bool() const { return data != nullptr; }
};

int64_t panels_bytes(const Layout& layout, int64_t k, int64_t n);
// int8 and int4 need a transposed matrix: the scale is a stored row's.
Panels pack_panels(Ctx& c, const MatrixRef& b, int64_t k, int64_t n, const Layout& layout = {});
// All pieces transposed (their stored rows are columns of B), or none (rows of B).
Panels pack_panels(Ctx& c, std::span<const Piece> pieces, int64_t k, int64_t n,
                   const Layout& layout = {});
// What columns [column, column + columns) of the panels stand for, as rows: out [columns, k].
void unpack_columns(const Panels& b, int64_t column, int64_t columns, float* out);
// Panels of B^T, of what the panels stand for: f32 or bf16. For gradients through weights that are
// only kept quantised.
Panels transpose_panels(Ctx& c, const Panels& b, const Layout& layout);

// y = dot products (+ bias), activation(y), times the other half where gated; then
// out = residual + scale * y. Each step has the bits of the op that it replaces.
struct Epilogue {
  const float* bias = nullptr;  // [N], added to every row
  // f32 and bf16: the sum starts from what C holds; int8, int4: what C holds is added to the dot
  // products. C is f32.
  bool accumulate = false;
  Activation activation = Activation::identity;
  // out [M, N/2] = activation(columns [0, N/2)) * columns [N/2, N).
  bool gated = false;
  float scale = 1;
  const float* residual = nullptr;  // [M,N], [M,N/2] where gated; may be `out` itself
  int64_t residual_stride = 0;
  DType out = DType::f32;  // or bf16
};

// `out` is of the epilogue's dtype, `out_stride` in elements. A is f32 or bf16.
void gemm(Ctx& c, int64_t m, const MatrixRef& a, const Panels& b, const Epilogue& epilogue,
          void* out, int64_t out_stride);
// Packs B on the way.
void gemm(Ctx& c, int64_t m, int64_t n, int64_t k, const MatrixRef& a, const MatrixRef& b,
          const Epilogue& epilogue, void* out, int64_t out_stride, Format format = Format::f32);

}  // namespace stemma
