// What the forward and backward kernels of attention share: scratch memory, gemm's packing and
// tiles put to use on strips and blocks of keys, and the masks, biases and heads of a strip.
#pragma once

#include <algorithm>

#include "gemm/bf16.h"
#include "gemm/f32.h"
#include "ops/attention/tiled.h"

namespace stemma::tiled {

// Memory from the pool.
template <class T>
class Scratch {
 public:
  Scratch(Ctx& c, int64_t n)
      : buffer_(c.pool->allocate(static_cast<size_t>(n) * sizeof(T))),
        data_(reinterpret_cast<T*>(buffer_.get())) {}
  operator T*() const { return data_; }  // NOLINT: a pointer with an owner

 private:
  Buffer buffer_;
  T* data_;
};
using Floats = Scratch<float>;
using Bytes = Scratch<std::byte>;

constexpr int64_t kColumns = Panels::kColumns;
static_assert(kKeys == 2 * kColumns);

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// ---- The formats that operands are multiplied in.

struct F32 {
  using Element = float;
  static constexpr DType kDType = DType::f32;
  static constexpr int64_t kDepth = f32::kDepth;
  static constexpr int64_t row_bytes(int64_t rows) { return 4 * f32::row_floats(rows); }
  static constexpr int64_t panel_elements(int64_t depth) { return depth * kColumns; }
  static void pack_rows(const MatrixRef& a, int64_t rows, int64_t k0, int64_t depth,
                        std::byte* out) {
    f32::pack_rows(a, 0, rows, k0, depth, reinterpret_cast<float*>(out));
  }
  static void pack_panel(const MatrixRef& b, int64_t depth, int64_t column, int64_t columns,
                         float* out) {
    f32::pack_panel(b, 0, depth, column, columns, out);
  }
  static void multiply(const std::byte* rows, bool transposed, int64_t m, int64_t depth,
                       bool from_out, const float* panel, int64_t columns, float* out,
                       int64_t out_stride) {
    f32::multiply({.rows = reinterpret_cast<const float*>(rows),
                   .transposed = transposed,
                   .m = m,
                   .depth = depth,
                   .from_out = from_out},
                  panel, columns, out, out_stride);
  }
};

struct Bf16 {
  using Element = uint16_t;
  static constexpr DType kDType = DType::bf16;
  static constexpr int64_t kDepth = bf16::kDepth;
  static constexpr int64_t row_bytes(int64_t rows) { return bf16::row_bytes(rows); }
  static constexpr int64_t panel_elements(int64_t depth) { return bf16::panel_elements(depth); }
  static void pack_rows(const MatrixRef& a, int64_t rows, int64_t k0, int64_t depth,
                        std::byte* out) {
    bf16::pack_rows(a, 0, rows, k0, depth, out);
  }
  static void pack_panel(const MatrixRef& b, int64_t depth, int64_t column, int64_t columns,
                         uint16_t* out) {
    bf16::pack_panel(b, 0, depth, column, columns, out);
  }
  static void multiply(const std::byte* rows, bool transposed, int64_t m, int64_t depth,
                       bool from_out, const uint16_t* panel, int64_t columns, float* out,
                       int64_t out_stride) {
    bf16::multiply(
        {.rows = rows, .transposed = transposed, .m = m, .depth = depth, .from_out = from_out},
        panel, columns, out, out_stride);
  }
};

// Calls fn with the format of `dtype`.
template <class Fn>
void with_format(DType dtype, Fn&& fn) {
  dtype == DType::bf16 ? fn(Bf16()) : fn(F32());
}

// ---- Operands and products in format F.

// Rows of any width as the left operand: one set of tiles each F::kDepth columns.
template <class F>
int64_t tile_bytes(int64_t rows, int64_t width) {
  return (width + F::kDepth - 1) / F::kDepth * F::row_bytes(rows);
}
template <class F>
void pack_tiles(const MatrixRef& a, int64_t rows, int64_t width, std::byte* out) {
  for (int64_t at = 0; at < width; at += F::kDepth, out += F::row_bytes(kStrip))
    F::pack_rows(a, rows, at, std::min(F::kDepth, width - at), out);
}

// A block's rows, transposed: [width, kKeys] in two panels of [width, 32].
template <class F>
void pack_transposed(const MatrixRef& b, int64_t width, int64_t keys, typename F::Element* out) {
  for (int64_t j = 0; j < keys; j += kColumns, out += F::panel_elements(width))
    F::pack_panel(b, width, j, std::min(kColumns, keys - j), out);
}
// out [rows, kKeys] = tiles x those panels.
template <class F>
void multiply_tiles(const std::byte* tiles, int64_t rows, int64_t width,
                    const typename F::Element* panels, int64_t keys, float* out) {
  for (int64_t at = 0; at < width; at += F::kDepth, tiles += F::row_bytes(kStrip))
    for (int64_t j = 0; j < keys; j += kColumns)
      F::multiply(tiles, false, rows, std::min(F::kDepth, width - at), at > 0,
                  panels + j / kColumns * F::panel_elements(width) + at * kColumns, kColumns,
                  out + j, kKeys);
}

// Rows as the right operand: [rows, width] in panels of [panel_rows >= rows, 32].
template <class F>
struct Columns {
  const typename F::Element* panels;
  int64_t panel_rows, width;
};
template <class F>
int64_t column_elements(int64_t panel_rows, int64_t width) {
  return round_up(width, kColumns) / kColumns * F::panel_elements(panel_rows);
}
template <class F>
void pack_columns(const MatrixRef& b, int64_t rows, int64_t width, int64_t panel_rows,
                  typename F::Element* out) {
  for (int64_t j = 0; j < width; j += kColumns, out += F::panel_elements(panel_rows))
    F::pack_panel(b, rows, j, std::min(kColumns, width - j), out);
}
// out [m, width] = (from_out: out +) rows x those panels.
template <class F>
void multiply_columns(const std::byte* rows, bool transposed, int64_t m, int64_t depth,
                      bool from_out, const Columns<F>& b, float* out, int64_t out_stride) {
  for (int64_t j = 0; j < b.width; j += kColumns)
    F::multiply(rows, transposed, m, depth, from_out,
                b.panels + j / kColumns * F::panel_elements(b.panel_rows),
                std::min(kColumns, b.width - j), out + j, out_stride);
}

// ---- Strips.

// A strip's rows of a dense tensor [queries, heads, width] of its sequence.
struct Rows {
  int64_t offset, stride;
};
inline Rows rows_of(const Problem& p, const Strip& s, int64_t width) {
  return {(s.query * p.heads + s.head) * width, s.across_heads ? width : p.heads * width};
}
// The same of q, whose rows may lie farther apart.
inline Rows query_rows(const Problem& p, const Strip& s) {
  return {s.query * p.q_stride + s.head * p.d, s.across_heads ? p.d : p.q_stride};
}

// What the rows of a strip see, block by block.
class Seen {
 public:
  Seen(const Problem& p, const Sequence& s, size_t index, const Strip& strip);
  // Keys outside [first, last) are seen by no row.
  int64_t first() const { return first_; }
  int64_t last() const { return last_; }
  // A word a row for the block at key `begin`; null: every row sees all of it.
  const uint64_t* block(int64_t begin);

 private:
  const Strip& strip_;
  const Bits* bits_;
  int64_t first_, last_, common_first_, common_last_;
  Interval rows_[kStrip];
  uint64_t words_[kStrip];
};

// The biases of a strip's rows against the block at key `begin`: pointers into lines, and what the
// pairs pick, gathered into `pairs` [kStrip, kKeys] (null where there are none).
class BiasRows {
 public:
  BiasRows(const Problem& p, const Sequence& s, const Strip& strip);
  Terms terms(const uint64_t* seen, int64_t begin, float cap, float* pairs);

 private:
  const Problem& p_;
  const Sequence& s_;
  const Strip strip_;
  const float* origins_[2][kStrip];
  const float* at_[2][kStrip];
  bool has_[2];
  int64_t rows_;
};

// The elements that a row of a strip picks from a pair bias against the block at key `begin`, as
// offsets: from the query's row, or from the row of the block's first key.
struct Picked {
  int32_t index[kKeys];  // of the block's keys, 0 past the last
  int64_t keys;
};
void pick_elements(const Sequence& s, const PairBias& bias, int64_t row_stride, int64_t query,
                   int64_t begin, Picked& out);

inline int64_t pair_elements(const Problem& p) { return p.pair_bias.empty() ? 0 : kStrip * kKeys; }

// How many of `tasks` make a piece of work worth handing to a thread.
int64_t piece_of(const Problem& p, int64_t tasks);

inline float cap_of(const Problem& p) { return p.cap * kLog2E; }

}  // namespace stemma::tiled
