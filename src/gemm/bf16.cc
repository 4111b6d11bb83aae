// Below avx512_bf16 a stretch of a panel is widened into L1 and multiplied as f32.
#include "gemm/bf16.h"

#include <cstring>

#include "gemm/format.h"
#include "simd/isa.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "gemm/bf16.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"
// After the two above.
#include "gemm/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kPanel = Panels::kColumns;
constexpr int64_t kStep = words::kStep;

// out[j] = the pair (low[j], high[j]).
HWY_INLINE void pair_up(const uint16_t* low, const uint16_t* high, int64_t n, uint32_t* out) {
  const hn::ScalableTag<uint32_t> d;
  const hn::Rebind<uint16_t, decltype(d)> dh;
  for (int64_t j = 0; j < n; j += rows::kLanes)
    hn::StoreU(hn::Or(hn::PromoteTo(d, hn::LoadU(dh, low + j)),
                      hn::ShiftLeft<16>(hn::PromoteTo(d, hn::LoadU(dh, high + j)))),
               d, out + j);
}

// Rows [row, row + count) x k [k0, k0 + n <= 32) as words [count][16], `to` a row apart by 16.
void pack_step(const MatrixRef& a, int64_t row, int64_t count, int64_t k0, int64_t n,
               uint32_t* out) {
  if (!a.transposed) {
    for (int64_t r = 0; r < count; ++r, out += kStep) {
      uint16_t* to = reinterpret_cast<uint16_t*>(out);
      rows::narrow(a.data, a.dtype, (row + r) * a.stride + k0, n, to);
      std::fill(to + n, to + 2 * kStep, uint16_t{0});
    }
    return;
  }
  alignas(64) uint16_t halves[2][kStep] = {};
  alignas(64) uint32_t pairs[kStep * kStep];
  for (int64_t k = 0; k < 2 * kStep; k += 2) {
    for (int64_t i = 0; i < 2; ++i)
      if (k + i < n)
        rows::narrow(a.data, a.dtype, (k0 + k + i) * a.stride + row, count, halves[i]);
      else
        std::fill_n(halves[i], kStep, uint16_t{0});
    pair_up(halves[0], halves[1], kStep, pairs + k / 2 * kStep);
  }
  rows::transpose(reinterpret_cast<const float*>(pairs), kStep, kStep, count, kStep,
                  reinterpret_cast<float*>(out), kStep);
}

void pack_words(const MatrixRef& a, int64_t row, int64_t rows, int64_t k0, int64_t depth,
                uint32_t* out) {
  for (int64_t t = 0; t < words::tiles_of(rows); ++t) {
    const int64_t begin = words::tile_begin(rows, t), end = words::tile_begin(rows, t + 1);
    for (int64_t k = 0; k < depth; k += 2 * kStep, out += words::tile_rows() * kStep)
      pack_step(a, row + begin, end - begin, k0 + k, std::min(2 * kStep, depth - k), out);
  }
}

void pack_panel(const MatrixRef& b, int64_t k0, int64_t depth, int64_t column, int64_t columns,
                uint16_t* out) {
  const int64_t padded = bf16::round_up(depth);
  if (!b.transposed) {
    alignas(64) uint16_t halves[2][kPanel] = {};
    for (int64_t k = 0; k < padded; k += 2, out += 2 * kPanel) {
      for (int64_t i = 0; i < 2; ++i)
        if (k + i < depth)
          rows::narrow(b.data, b.dtype, (k0 + k + i) * b.stride + column, columns, halves[i]);
        else
          std::fill_n(halves[i], kPanel, uint16_t{0});
      pair_up(halves[0], halves[1], kPanel, reinterpret_cast<uint32_t*>(out));
    }
    return;
  }
  constexpr int64_t kChunk = 64;
  alignas(64) uint16_t narrow[kPanel * kChunk];
  for (int64_t k = 0; k < padded; k += kChunk) {
    const int64_t n = std::min(kChunk, depth - k), whole = std::min(kChunk, padded - k);
    for (int64_t j = 0; j < columns; ++j) {
      rows::narrow(b.data, b.dtype, (column + j) * b.stride + k0 + k, n, narrow + j * kChunk);
      std::fill(narrow + j * kChunk + n, narrow + j * kChunk + whole, uint16_t{0});
    }
    rows::transpose(reinterpret_cast<const float*>(narrow), kChunk / 2, columns, whole / 2, kPanel,
                    reinterpret_cast<float*>(out + k * kPanel), kPanel);
  }
}

// A stretch of a panel as f32's: out[k][32].
void widen_panel(const uint16_t* panel, int64_t depth, float* out) {
  const hn::ScalableTag<uint32_t> d;
  uint32_t* to = reinterpret_cast<uint32_t*>(out);
  const uint32_t* from = reinterpret_cast<const uint32_t*>(panel);
  for (int64_t k = 0; k < depth; k += 2, from += kPanel, to += 2 * kPanel)
    for (int64_t j = 0; j < kPanel; j += rows::kLanes) {
      const auto pair = hn::LoadU(d, from + j);
      hn::StoreU(hn::ShiftLeft<16>(pair), d, to + j);
      if (k + 1 < depth) hn::StoreU(hn::And(pair, hn::Set(d, 0xffff0000u)), d, to + kPanel + j);
    }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {
STEMMA_LEVELS(pack_words);
STEMMA_LEVELS(pack_panel);
STEMMA_LEVELS(widen_panel);
}  // namespace

namespace bf16 {

void pack_rows(const MatrixRef& a, int64_t row, int64_t rows, int64_t k0, int64_t depth,
               std::byte* out) {
  if (words::available())
    return STEMMA_AT_LEVEL(pack_words)(a, row, rows, k0, depth, reinterpret_cast<uint32_t*>(out));
  float* to = reinterpret_cast<float*>(out);
  for (int64_t k = 0; k < depth; k += f32::kDepth, to += f32::row_floats(rows))
    f32::pack_rows(a, row, rows, k0 + k, std::min(f32::kDepth, depth - k), to, true);
}

void pack_panel(const MatrixRef& b, int64_t k0, int64_t depth, int64_t column, int64_t columns,
                uint16_t* out) {
  STEMMA_AT_LEVEL(pack_panel)(b, k0, depth, column, columns, out);
}

void multiply(const Product& p, const uint16_t* panel, int64_t columns, float* out,
              int64_t out_stride) {
  if (words::available())
    return words::multiply(words::Dot::bf16, reinterpret_cast<const uint32_t*>(p.rows), p.m,
                           (p.depth + 1) / 2, reinterpret_cast<const uint32_t*>(panel), columns,
                           p.from_out, out, out_stride);
  alignas(64) float wide[f32::kDepth * Panels::kColumns];
  const float* rows = reinterpret_cast<const float*>(p.rows);
  for (int64_t k = 0; k == 0 || k < p.depth; k += f32::kDepth, rows += f32::row_floats(p.m)) {
    const int64_t depth = std::min(f32::kDepth, p.depth - k);
    STEMMA_AT_LEVEL(widen_panel)(panel + k * Panels::kColumns, depth, wide);
    f32::multiply({.rows = rows,
                   .transposed = p.transposed,
                   .m = p.m,
                   .depth = depth,
                   .from_out = p.from_out || k > 0},
                  wide, columns, out, out_stride);
  }
}

}  // namespace bf16

const FormatOps kBf16Ops = {
    .name = "bf16",
    .unit = bf16::kUnit,
    .depth = bf16::kDepth,
    .block_rows = [] { return uses_tiles() ? kBlockRows : f32::kBlockRows; },
    .element_bytes = 2,
    .panel_bytes = [](const Layout&, int64_t k) { return bf16::panel_elements(k) * 2; },
    .panel_offset = [](const Layout&, int64_t k) { return k * Panels::kColumns * 2; },
    .row_bytes = bf16::row_bytes,
    .prepare = [](Ctx&, const Layout&, const MatrixRef& a, int64_t,
                  int64_t) { return Operand{.matrix = a, .data = {}}; },
    .pack_rows = [](const Layout&, const Operand& a, int64_t row, int64_t rows, int64_t k0,
                    int64_t depth,
                    std::byte* out) { bf16::pack_rows(a.matrix, row, rows, k0, depth, out); },
    .quantised = false,
    .pack_panel =
        [](const Layout&, const MatrixRef& b, int64_t k0, int64_t depth, int64_t column,
           int64_t columns, std::byte* panel) {
          bf16::pack_panel(b, k0, depth, column, columns, reinterpret_cast<uint16_t*>(panel));
        },
    .multiply =
        [](const Layout&, const Product& p, const std::byte* stretch, int64_t columns, float* sums,
           int64_t stride) {
          bf16::multiply({p.rows, p.transposed, p.m, p.depth, p.from_out},
                         reinterpret_cast<const uint16_t*>(stretch), columns, sums, stride);
        },
    .finish = nullptr,
    .unpack =
        [](const Layout&, const std::byte* panel, int64_t k, int64_t columns, float* out) {
          const uint16_t* from = reinterpret_cast<const uint16_t*>(panel);
          for (int64_t j = 0; j < columns; ++j)
            for (int64_t i = 0; i < k; ++i)
              out[j * k + i] = widen_bf16(from[i / 2 * 2 * Panels::kColumns + 2 * j + i % 2]);
        },
};

}  // namespace stemma
#endif
