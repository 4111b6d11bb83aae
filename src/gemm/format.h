// A format as gemm.cc sees it: sizes, packing of both operands, and the product of a block of
// packed rows with a stretch of a panel. gemm.cc does the cutting for all.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gemm/gemm.h"

namespace stemma {

// Rows of A made ready for a format before they are cut: as they are, or quantised.
struct Operand {
  MatrixRef matrix;
  Buffer data;                    // that holds it, where it was made
  const float* scales = nullptr;  // int8: [M]; int4: [M, groups]
  const int32_t* sums = nullptr;  // int4: [M, groups]
};

// The most rows of a Product.
constexpr int64_t kBlockRows = 256;

struct Product {
  const std::byte* rows;
  bool transposed;  // as the operand that they were packed from
  int64_t m, depth;
  bool from_out;
};

struct FormatOps {
  const char* name;
  // k is cut at multiples of `unit` (of the group, where that is more), into stretches of at most
  // `depth`.
  int64_t unit, depth;
  // The most rows of A that a task packs, at most kBlockRows.
  int64_t (*block_rows)();
  int64_t element_bytes;  // of a packed element of A, about
  int64_t (*panel_bytes)(const Layout& layout, int64_t k);
  // Where the stretch from k on begins.
  int64_t (*panel_offset)(const Layout& layout, int64_t k);
  // The most bytes of so many rows of a stretch.
  int64_t (*row_bytes)(int64_t rows);
  Operand (*prepare)(Ctx& c, const Layout& layout, const MatrixRef& a, int64_t m, int64_t k);
  void (*pack_rows)(const Layout& layout, const Operand& a, int64_t row, int64_t rows, int64_t k0,
                    int64_t depth, std::byte* out);
  // Where `quantised`, k0 is 0 and depth is all of k.
  bool quantised;
  void (*pack_panel)(const Layout& layout, const MatrixRef& b, int64_t k0, int64_t depth,
                     int64_t column, int64_t columns, std::byte* panel);
  // sums [m, columns] = (from_out: sums +) rows x stretch, 4 bytes an element.
  void (*multiply)(const Layout& layout, const Product& p, const std::byte* stretch,
                   int64_t columns, float* sums, int64_t stride);
  // Sums to f32 in place, once all of k is done; null where they are already.
  void (*finish)(const Layout& layout, const Operand& a, int64_t row, int64_t rows,
                 const std::byte* panel, int64_t k, int64_t columns, float* sums, int64_t stride);
  void (*unpack)(const Layout& layout, const std::byte* panel, int64_t k, int64_t columns,
                 float* out);
};

extern const FormatOps kF32Ops, kBf16Ops, kInt8Ops, kInt4Ops;
const FormatOps& ops_of(Format format);

}  // namespace stemma
