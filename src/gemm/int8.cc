// int8: B symmetric in [-127, 127] with a scale per column, A in [1, 255] standing for q - 128,
// with a scale per row. C = (sums - 128 x the column's sum) x column scale x row scale.
// A panel is [k / 4][32][4] bytes, zeros up to a multiple of 64 k, then 32 scales (f32) and 32 sums
// (i32) of its columns.
#include <algorithm>

#include "base/error.h"
#include "gemm/bytes.h"
#include "gemm/f32.h"
#include "gemm/format.h"
#include "gemm/quantise.h"
#include "simd/isa.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "gemm/int8.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

void scale_sums(const float* row_scales, int64_t rows, const float* scales,
                const int32_t* column_sums, int64_t columns, float* sums, int64_t stride) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  for (int64_t r = 0; r < rows; ++r, sums += stride) {
    const auto row_scale = hn::Set(d, row_scales[r]);
    for (int64_t j = 0; j < columns; j += static_cast<int64_t>(hn::Lanes(d))) {
      const int64_t n = columns - j;
      const auto extra = hn::ShiftLeft<7>(load_n(di, column_sums + j, n));
      const auto exact = hn::Sub(hn::BitCast(di, load_n(d, sums + j, n)), extra);
      store_n(d, hn::Mul(hn::Mul(hn::ConvertTo(d, exact), load_n(d, scales + j, n)), row_scale),
              sums + j, n);
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {
STEMMA_LEVELS(scale_sums);

constexpr int64_t kColumns = Panels::kColumns;
constexpr int64_t kDepth = 768;
constexpr int64_t kMaxK = 1 << 16;  // 255 x 127 x k stays below 2^31

int64_t body_bytes(int64_t k) { return bytes::round_up(k) * kColumns; }

// What follows the bytes of a panel.
struct Tail {
  float scales[kColumns];
  int32_t sums[kColumns];
};

void pack_panel(const Layout&, const MatrixRef& b, int64_t, int64_t k, int64_t column,
                int64_t columns, std::byte* panel) {
  check(k <= kMaxK, "[gemm] int8 sums at most ", kMaxK, " products, not ", k);
  constexpr int64_t kChunk = 256;
  alignas(64) float values[kChunk];
  alignas(64) uint8_t q[kColumns * kChunk];
  Tail& tail = *reinterpret_cast<Tail*>(panel + body_bytes(k));
  tail = {};
  for (int64_t j = 0; j < columns; ++j)
    for (int64_t k0 = 0; k0 < k; k0 += kChunk) {
      const int64_t n = std::min(kChunk, k - k0);
      quantise::widen(b, (column + j) * b.stride + k0, n, values);
      const float scale = quantise::scale_of(values, n);
      tail.scales[j] = scale <= tail.scales[j] ? tail.scales[j] : scale;  // NaN stays
    }
  for (int64_t k0 = 0; k0 < k; k0 += kChunk) {
    const int64_t n = std::min(kChunk, k - k0);
    for (int64_t j = 0; j < columns; ++j) {
      quantise::widen(b, (column + j) * b.stride + k0, n, values);
      tail.sums[j] +=
          quantise::to_int8(values, n, tail.scales[j], 0, bytes::round_up(n), q + j * kChunk);
    }
    bytes::pack_panel(q, kChunk, n, columns, panel + k0 * kColumns);
  }
}

// One row at a time, each with its scale.
Operand prepare(Ctx& c, const Layout&, const MatrixRef& a, int64_t m, int64_t k) {
  check(!a.transposed, "[gemm] int8 takes a left operand that is stored by rows");
  const int64_t stride = bytes::round_up(k);
  Operand out{.matrix = {nullptr, stride, false, DType::u8},
              .data = c.pool->allocate(static_cast<size_t>(m) * (sizeof(float) + stride))};
  uint8_t* q = reinterpret_cast<uint8_t*>(out.data.get());
  float* scales = reinterpret_cast<float*>(out.data.get() + m * stride);
  out.matrix.data = q, out.scales = scales;
  c.team->run_range(m, std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, k)),
                    [&](int64_t begin, int64_t end) {
                      const Buffer wide = c.pool->allocate(static_cast<size_t>(k) * sizeof(float));
                      float* values = reinterpret_cast<float*>(wide.get());
                      for (int64_t r = begin; r < end; ++r) {
                        quantise::widen(a, r * a.stride, k, values);
                        scales[r] = quantise::scale_of(values, k);
                        quantise::to_int8(values, k, scales[r], 128, stride, q + r * stride);
                      }
                    });
  return out;
}

}  // namespace

const FormatOps kInt8Ops = {
    .name = "int8",
    .unit = bytes::kUnit,
    .depth = kDepth,
    .block_rows = [] { return uses_tiles() ? kBlockRows : f32::kBlockRows; },
    .element_bytes = 1,
    .panel_bytes = [](const Layout&,
                      int64_t k) { return body_bytes(k) + static_cast<int64_t>(sizeof(Tail)); },
    .panel_offset = [](const Layout&, int64_t k) { return k * kColumns; },
    .row_bytes = [](int64_t rows) { return bytes::row_bytes(rows, kDepth); },
    .prepare = prepare,
    .pack_rows =
        [](const Layout&, const Operand& a, int64_t row, int64_t rows, int64_t k0, int64_t depth,
           std::byte* out) {
          const auto* q = static_cast<const uint8_t*>(a.matrix.data);
          bytes::pack_rows(words::Dot::u8s8, q + row * a.matrix.stride + k0, a.matrix.stride, rows,
                           depth, out);
        },
    .quantised = true,
    .pack_panel = pack_panel,
    .multiply =
        [](const Layout&, const Product& p, const std::byte* stretch, int64_t columns, float* sums,
           int64_t stride) {
          bytes::multiply(words::Dot::u8s8, p.rows, p.m, p.depth, stretch, columns, p.from_out,
                          reinterpret_cast<int32_t*>(sums), stride);
        },
    .finish =
        [](const Layout&, const Operand& a, int64_t row, int64_t rows, const std::byte* panel,
           int64_t k, int64_t columns, float* sums, int64_t stride) {
          const Tail& tail = *reinterpret_cast<const Tail*>(panel + body_bytes(k));
          STEMMA_AT_LEVEL(scale_sums)
          (a.scales + row, rows, tail.scales, tail.sums, columns, sums, stride);
        },
    .unpack =
        [](const Layout&, const std::byte* panel, int64_t k, int64_t columns, float* out) {
          const Tail& tail = *reinterpret_cast<const Tail*>(panel + body_bytes(k));
          for (int64_t j = 0; j < columns; ++j)
            for (int64_t i = 0; i < k; ++i) {
              const auto q = static_cast<int8_t>(panel[i / 4 * 4 * kColumns + 4 * j + i % 4]);
              out[j * k + i] = static_cast<float>(q) * tail.scales[j];
            }
        },
};

}  // namespace stemma
#endif
