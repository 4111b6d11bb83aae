// The tile is 12 rows x 32 columns at avx512 and 6 x 16 at avx2 (24 of 32 and 12 of 16 registers
// hold sums), fed with one broadcast of A and two vectors of B a row and k. A is packed so that
// every address in a tile is a constant offset from one pointer: rows of kRowStride floats where A
// is stored by rows (a plain copy), [k][12] where it is stored by columns.
#include "gemm/f32.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "gemm/format.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "gemm/f32.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"
// After the two above.
#include "gemm/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(D()));
constexpr int64_t kTileRows = HWY_TARGET == HWY_AVX3 ? 12 : 6;
constexpr int64_t kPanel = Panels::kColumns;
// Not a multiple of a page, so that the rows of a tile fall into different cache sets.
constexpr int64_t kRowStride = f32::kDepth + 16;
// How many k ahead a panel is fetched into L1: some hundred cycles.
constexpr int64_t kAhead = 32;

// Rows are spread evenly over the tiles: 13 rows are 7 and 6, not 12 and 1.
int64_t tiles_of(int64_t rows) { return (rows + kTileRows - 1) / kTileRows; }
int64_t tile_begin(int64_t rows, int64_t tile) { return rows * tile / tiles_of(rows); }

template <bool kTransposed>
constexpr int64_t tile_floats(int64_t depth) {
  return kTransposed ? depth * kTileRows : kTileRows * kRowStride;
}

// Elements [k, k + n) of a stored row, which begins at element `begin`.
void read_row(const MatrixRef& a, int64_t begin, int64_t n, bool to_bf16, float* out) {
  rows::widen(a.data, a.dtype, begin, n, out);
  if (to_bf16 && a.dtype == DType::f32) rows::round_to_bf16(out, n);
}

void pack_rows(const MatrixRef& a, int64_t row, int64_t rows, int64_t k0, int64_t depth, float* out,
               bool to_bf16) {
  for (int64_t tile = 0; tile < tiles_of(rows); ++tile) {
    const int64_t begin = row + tile_begin(rows, tile), end = row + tile_begin(rows, tile + 1);
    if (a.transposed) {
      for (int64_t k = 0; k < depth; ++k)
        read_row(a, (k0 + k) * a.stride + begin, end - begin, to_bf16, out + k * kTileRows);
      out += tile_floats<true>(depth);
    } else {
      for (int64_t r = begin; r < end; ++r)
        read_row(a, r * a.stride + k0, depth, to_bf16, out + (r - begin) * kRowStride);
      out += tile_floats<false>(depth);
    }
  }
}

void pack_panel(const MatrixRef& b, int64_t k0, int64_t depth, int64_t column, int64_t columns,
                float* out) {
  if (!b.transposed) {
    for (int64_t k = 0; k < depth; ++k, out += kPanel) {
      rows::widen(b.data, b.dtype, (k0 + k) * b.stride + column, columns, out);
      std::fill(out + columns, out + kPanel, 0.0f);
    }
    return;
  }
  if (b.dtype == DType::f32) {
    rows::transpose(static_cast<const float*>(b.data) + column * b.stride + k0, b.stride, columns,
                    depth, kPanel, out, kPanel);
    return;
  }
  constexpr int64_t kChunk = 64;
  alignas(64) float wide[kPanel * kChunk];
  for (int64_t k = 0; k < depth; k += kChunk) {
    const int64_t n = std::min(kChunk, depth - k);
    for (int64_t j = 0; j < columns; ++j)
      rows::widen(b.data, b.dtype, (column + j) * b.stride + k0 + k, n, wide + j * kChunk);
    rows::transpose(wide, kChunk, columns, n, kPanel, out + k * kPanel, kPanel);
  }
}

// One tile: sizeof...(R) rows x two vectors of columns.
template <bool kTransposed, size_t... R>
HWY_INLINE void tile(std::index_sequence<R...>, const float* HWY_RESTRICT a,
                     const float* HWY_RESTRICT b, int64_t depth, bool from_out,
                     float* HWY_RESTRICT out, int64_t out_stride) {
  constexpr int64_t kARow = kTransposed ? 1 : kRowStride;
  constexpr int64_t kADepth = kTransposed ? kTileRows : 1;
  const D d;
  V left[sizeof...(R)], right[sizeof...(R)];
  if (from_out) {
    ((left[R] = hn::LoadU(d, out + R * out_stride)), ...);
    ((right[R] = hn::LoadU(d, out + R * out_stride + kLanes)), ...);
  } else {
    ((left[R] = hn::Zero(d), right[R] = hn::Zero(d)), ...);
  }
#pragma GCC unroll 4
  for (int64_t k = 0; k < depth; ++k) {
    __builtin_prefetch(b + (k + kAhead) * kPanel);
    __builtin_prefetch(b + (k + kAhead) * kPanel + kPanel / 2);
    const V b0 = hn::LoadU(d, b + k * kPanel), b1 = hn::LoadU(d, b + k * kPanel + kLanes);
    V x;
    ((x = hn::Set(d, a[static_cast<int64_t>(R) * kARow + k * kADepth]),
      left[R] = vfma(x, b0, left[R]), right[R] = vfma(x, b1, right[R])),
     ...);
  }
  ((hn::StoreU(left[R], d, out + R * out_stride)), ...);
  ((hn::StoreU(right[R], d, out + R * out_stride + kLanes)), ...);
}

using Tile = void (*)(const float*, const float*, int64_t, bool, float*, int64_t);

template <bool kTransposed, size_t kRows>
void tile_rows(const float* a, const float* b, int64_t depth, bool from_out, float* out,
               int64_t out_stride) {
  tile<kTransposed>(std::make_index_sequence<kRows>(), a, b, depth, from_out, out, out_stride);
}

// The tile functions of 1 to kTileRows rows.
template <bool kTransposed, size_t... R>
Tile pick(std::index_sequence<R...>, int64_t rows) {
  static constexpr Tile kTable[] = {tile_rows<kTransposed, R + 1>...};
  return kTable[rows - 1];
}

template <bool kTransposed>
void multiply_panel(const f32::Product& p, const float* panel, int64_t columns, float* out,
                    int64_t out_stride) {
  // A partial panel is computed whole, beside the output.
  float side[kTileRows * kPanel];
  const bool whole = columns == kPanel;
  for (int64_t t = 0; t < tiles_of(p.m); ++t) {
    const int64_t begin = tile_begin(p.m, t), rows = tile_begin(p.m, t + 1) - begin;
    const Tile run = pick<kTransposed>(std::make_index_sequence<kTileRows>(), rows);
    const float* a = p.rows + t * tile_floats<kTransposed>(p.depth);
    float* to = out + begin * out_stride;
    float* tile_out = whole ? to : side;
    const int64_t stride = whole ? out_stride : kPanel;
    if (!whole)
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t j = 0; j < kPanel; ++j)
          side[r * kPanel + j] = p.from_out && j < columns ? to[r * out_stride + j] : 0.0f;
    for (int64_t j = 0; j < kPanel; j += 2 * kLanes)
      run(a, panel + j, p.depth, p.from_out, tile_out + j, stride);
    if (!whole)
      for (int64_t r = 0; r < rows; ++r)
        std::copy_n(side + r * kPanel, columns, to + r * out_stride);
  }
}

void multiply(const f32::Product& p, const float* panel, int64_t columns, float* out,
              int64_t out_stride) {
  (p.transposed ? multiply_panel<true> : multiply_panel<false>)(p, panel, columns, out, out_stride);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {
STEMMA_LEVELS(pack_rows);
STEMMA_LEVELS(pack_panel);
STEMMA_LEVELS(multiply);

constexpr int64_t kPanelBytes = Panels::kColumns * 4;  // for each k
}  // namespace

namespace f32 {

void pack_rows(const MatrixRef& a, int64_t row, int64_t rows, int64_t k0, int64_t depth, float* out,
               bool to_bf16) {
  STEMMA_AT_LEVEL(pack_rows)(a, row, rows, k0, depth, out, to_bf16);
}

void pack_panel(const MatrixRef& b, int64_t k0, int64_t depth, int64_t column, int64_t columns,
                float* out) {
  STEMMA_AT_LEVEL(pack_panel)(b, k0, depth, column, columns, out);
}

void multiply(const Product& p, const float* panel, int64_t columns, float* out,
              int64_t out_stride) {
  STEMMA_AT_LEVEL(multiply)(p, panel, columns, out, out_stride);
}

}  // namespace f32

const FormatOps kF32Ops = {
    .name = "f32",
    .unit = 8,
    .depth = f32::kDepth,
    .block_rows = [] { return f32::kBlockRows; },
    .element_bytes = 4,
    .panel_bytes = [](const Layout&, int64_t k) { return k * kPanelBytes; },
    .panel_offset = [](const Layout&, int64_t k) { return k * kPanelBytes; },
    .row_bytes = [](int64_t rows) { return f32::row_floats(rows) * 4; },
    .prepare = [](Ctx&, const Layout&, const MatrixRef& a, int64_t,
                  int64_t) { return Operand{.matrix = a, .data = {}}; },
    .pack_rows =
        [](const Layout&, const Operand& a, int64_t row, int64_t rows, int64_t k0, int64_t depth,
           std::byte* out) {
          f32::pack_rows(a.matrix, row, rows, k0, depth, reinterpret_cast<float*>(out));
        },
    .quantised = false,
    .pack_panel =
        [](const Layout&, const MatrixRef& b, int64_t k0, int64_t depth, int64_t column,
           int64_t columns, std::byte* panel) {
          f32::pack_panel(b, k0, depth, column, columns, reinterpret_cast<float*>(panel));
        },
    .multiply =
        [](const Layout&, const Product& p, const std::byte* stretch, int64_t columns, float* sums,
           int64_t stride) {
          f32::multiply({.rows = reinterpret_cast<const float*>(p.rows),
                         .transposed = p.transposed,
                         .m = p.m,
                         .depth = p.depth,
                         .from_out = p.from_out},
                        reinterpret_cast<const float*>(stretch), columns, sums, stride);
        },
    .finish = nullptr,
    .unpack =
        [](const Layout&, const std::byte* panel, int64_t k, int64_t columns, float* out) {
          const float* from = reinterpret_cast<const float*>(panel);
          for (int64_t j = 0; j < columns; ++j)
            for (int64_t i = 0; i < k; ++i) out[j * k + i] = from[i * Panels::kColumns + j];
        },
};

}  // namespace stemma
#endif
