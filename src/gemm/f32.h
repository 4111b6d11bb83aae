// The f32 format of gemm: packing of both operands and the tile product, at the level of isa().
// Another format (bf16, int8) is another such pair of files; gemm.cc does the cutting for all.
#pragma once

#include <cstdint>

#include "gemm/gemm.h"

namespace stemma::f32 {

// The longest stretch of k that one pass covers: a block of A [kBlockRows, kDepth] stays in L2, a
// panel's stretch [kDepth, 32] in L1.
constexpr int64_t kDepth = 256;
constexpr int64_t kBlockRows = 192;
// The most floats that pack_rows writes for so many rows, whatever the level's tile.
constexpr int64_t row_floats(int64_t rows) { return (rows + 12) * (kDepth + 16); }

// Rows [row, row + rows) x k [k0, k0 + depth) of A, in tiles, to `out`; `to_bf16`: each element
// rounded to bf16 first.
void pack_rows(const MatrixRef& a, int64_t row, int64_t rows, int64_t k0, int64_t depth, float* out,
               bool to_bf16 = false);
// k [k0, k0 + depth) x columns [column, column + columns <= 32) of B to `out` [depth, 32], zeros
// past `columns`.
void pack_panel(const MatrixRef& b, int64_t k0, int64_t depth, int64_t column, int64_t columns,
                float* out);

struct Product {
  const float* rows;  // of pack_rows
  bool transposed;    // as the operand that it was packed from
  int64_t m, depth;
  bool from_out;  // the chain continues from `out`
};
// out [m, columns] = rows x panel.
void multiply(const Product& p, const float* panel, int64_t columns, float* out,
              int64_t out_stride);

}  // namespace stemma::f32
