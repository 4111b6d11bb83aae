// The bf16 format of gemm: both operands in bf16 (narrowed while packing, to nearest), sums in f32.
// A panel is [k / 2][32 columns][2]: pairs along k, zeros up to a multiple of 32 k. One layout
// serves every level: tiles and dot products read it as it is, the levels below widen it, and
// their chain is f32's over the rounded operands, the same bits at each.
// At avx512_bf16 and amx the order is the instruction's (simd/dot.h, simd/tile.h), 32 k at a time:
// so a stretch begins at a multiple of kUnit.
#pragma once

#include <algorithm>
#include <cstdint>

#include "gemm/f32.h"
#include "gemm/gemm.h"
#include "gemm/words.h"

namespace stemma::bf16 {

// k is cut at multiples of kUnit, into stretches of at most kDepth.
constexpr int64_t kUnit = 32, kDepth = 256;
constexpr int64_t round_up(int64_t k) { return (k + kUnit - 1) / kUnit * kUnit; }
// The most bytes that pack_rows writes for so many rows, whatever the level.
constexpr int64_t row_bytes(int64_t rows) {
  return 4 * std::max(kDepth / f32::kDepth * f32::row_floats(rows),
                      words::packed_words(rows, kDepth / 2));
}
// Elements of a panel of so many k.
constexpr int64_t panel_elements(int64_t k) { return round_up(k) * Panels::kColumns; }

// Rows [row, row + rows) x k [k0, k0 + depth) of A, in tiles, to `out` (64-byte aligned).
void pack_rows(const MatrixRef& a, int64_t row, int64_t rows, int64_t k0, int64_t depth,
               std::byte* out);
// k [k0, k0 + depth) x columns [column, column + columns <= 32) of B to `out`, zeros past them;
// depth may exceed kDepth.
void pack_panel(const MatrixRef& b, int64_t k0, int64_t depth, int64_t column, int64_t columns,
                uint16_t* out);

struct Product {
  const std::byte* rows;  // of pack_rows
  bool transposed;        // as the operand that it was packed from
  int64_t m, depth;       // the panel must be finite up to the next multiple of kUnit
  bool from_out;          // the sum continues from `out`
};
// out [m, columns] = rows x panel, in f32.
void multiply(const Product& p, const uint16_t* panel, int64_t columns, float* out,
              int64_t out_stride);

}  // namespace stemma::bf16
