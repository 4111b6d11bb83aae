// What the forward and backward kernels of attention share: scratch memory, and gemm's packing and
// tiles put to use on strips and blocks of keys.
#pragma once

#include <algorithm>

#include "gemm/f32.h"
#include "ops/attention/tiled.h"

namespace stemma::tiled {

// Floats from the pool.
class Floats {
 public:
  Floats(Ctx& c, int64_t n)
      : buffer_(c.pool->allocate(static_cast<size_t>(n) * sizeof(float))),
        data_(reinterpret_cast<float*>(buffer_.get())) {}
  operator float*() const { return data_; }  // NOLINT: a pointer with an owner

 private:
  Buffer buffer_;
  float* data_;
};

constexpr int64_t kColumns = Panels::kColumns;
static_assert(kKeys == 2 * kColumns);

inline int64_t round_up(int64_t n) { return (n + kColumns - 1) / kColumns * kColumns; }

// A strip's rows of a tensor [queries, heads, width] of its sequence.
struct Rows {
  int64_t offset, stride;
};
inline Rows rows_of(const Problem& p, const Strip& s, int64_t width) {
  return {(s.query * p.heads + s.head) * width, s.across_heads ? width : p.heads * width};
}

inline View view(const Problem& p, const Sequence& s, const Strip& strip, int64_t begin,
                 int64_t keys) {
  return {.position = s.keys - s.queries + strip.query,
          .step = strip.across_heads ? 0 : 1,
          .begin = begin,
          .keys = keys,
          .causal = p.causal,
          .window = p.window};
}

// Rows of any width as the left operand of a product: one set of tiles each kDepth columns.
inline int64_t tile_floats(int64_t width) {
  return (width + f32::kDepth - 1) / f32::kDepth * f32::row_floats(kStrip);
}
inline void pack_tiles(const MatrixRef& a, int64_t rows, int64_t width, float* out) {
  for (int64_t at = 0; at < width; at += f32::kDepth, out += f32::row_floats(kStrip))
    f32::pack_rows(a, 0, rows, at, std::min(f32::kDepth, width - at), out);
}

// A block's rows, transposed: [width, kKeys] in two panels of [width, 32].
inline void pack_transposed(const MatrixRef& b, int64_t width, int64_t keys, float* out) {
  for (int64_t j = 0; j < keys; j += kColumns, out += width * kColumns)
    f32::pack_panel(b, 0, width, j, std::min(kColumns, keys - j), out);
}
// out [rows, kKeys] = tiles x those panels.
inline void multiply_tiles(const float* tiles, int64_t rows, int64_t width, const float* panels,
                           int64_t keys, float* out) {
  for (int64_t at = 0; at < width; at += f32::kDepth, tiles += f32::row_floats(kStrip))
    for (int64_t j = 0; j < keys; j += kColumns)
      f32::multiply({.rows = tiles,
                     .transposed = false,
                     .m = rows,
                     .depth = std::min(f32::kDepth, width - at),
                     .bias = nullptr,
                     .from_out = at > 0},
                    panels + j * width + at * kColumns, kColumns, out + j, kKeys);
}

// Rows as the right operand: [rows, width] in panels of [panel_rows >= rows, 32].
struct Columns {
  const float* panels;
  int64_t panel_rows, width;
};
inline void pack_columns(const MatrixRef& b, int64_t rows, int64_t width, int64_t panel_rows,
                         float* out) {
  for (int64_t j = 0; j < width; j += kColumns, out += panel_rows * kColumns)
    f32::pack_panel(b, 0, rows, j, std::min(kColumns, width - j), out);
}
// out [product.m, width] = the product's rows x those panels.
inline void multiply_columns(const f32::Product& product, const Columns& b, float* out,
                             int64_t out_stride) {
  for (int64_t j = 0; j < b.width; j += kColumns)
    f32::multiply(product, b.panels + j * b.panel_rows, std::min(kColumns, b.width - j), out + j,
                  out_stride);
}

// How many of `tasks` make a piece of work worth handing to a thread.
inline int64_t piece_of(const Problem& p, int64_t tasks) {
  constexpr int64_t kPieceWork = 1 << 20;  // multiply-adds
  int64_t work = 0;
  for (const Sequence& s : p.sequences) work += s.queries * s.keys * p.heads * (p.d + p.dv);
  const int64_t pieces = std::clamp<int64_t>(work / kPieceWork, 1, std::max<int64_t>(1, tasks));
  return (tasks + pieces - 1) / pieces;
}

}  // namespace stemma::tiled
