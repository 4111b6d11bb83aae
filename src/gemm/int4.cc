// int4: B in groups of 32, 64 or 128 along k, q in [0, 15] standing for (q - 8) x the group's scale
// (f16); A in [-127, 127] with a scale per row and group. Per group, exact integers:
//   C = fma((sum of a q - 8 x sum of a) x row scale, column scale, C), groups in ascending order.
// A panel is, for each group, [group / 8][32][4] bytes - the words 2 i and 2 i + 1 of four numbers
// along k in the low and high halves - and then 32 scales.
// Source of the grouping: the Q4_0 blocks of GGML, which are 32 long.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "gemm/bytes.h"
#include "gemm/f32.h"
#include "gemm/format.h"
#include "gemm/quantise.h"
#include "simd/dot.h"
#include "simd/isa.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "gemm/int4.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kPanel = Panels::kColumns;

// [count][128] bytes with two numbers each to [2 count][128] with one.
void split(const uint8_t* packed, int64_t count, uint8_t* out) {
  constexpr int64_t kRow = kPanel * 4;
  const hn::ScalableTag<uint32_t> d;
  const auto low = hn::Set(d, 0x0f0f0f0fu);
  for (int64_t i = 0; i < count; ++i, packed += kRow, out += 2 * kRow)
    for (int64_t j = 0; j < kRow; j += static_cast<int64_t>(4 * hn::Lanes(d))) {
      const auto both = hn::LoadU(d, reinterpret_cast<const uint32_t*>(packed + j));
      hn::StoreU(hn::And(both, low), d, reinterpret_cast<uint32_t*>(out + j));
      hn::StoreU(hn::And(hn::ShiftRight<4>(both), low), d,
                 reinterpret_cast<uint32_t*>(out + kRow + j));
    }
}

// A group's exact sums [rows, 32] into the f32 sums.
void add_group(const int32_t* exact, const float* row_scales, const int32_t* row_sums, int64_t rows,
               const float* scales, int64_t columns, bool from_sums, float* sums, int64_t stride) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  for (int64_t r = 0; r < rows; ++r, exact += kPanel, sums += stride) {
    const auto extra = hn::Set(di, 8 * row_sums[r]);
    const auto row_scale = hn::Set(d, row_scales[r]);
    for (int64_t j = 0; j < columns; j += static_cast<int64_t>(hn::Lanes(d))) {
      const int64_t n = columns - j;
      const auto before = from_sums ? load_n(d, sums + j, n) : hn::Zero(d);
      const auto dot = hn::ConvertTo(d, hn::Sub(hn::LoadU(di, exact + j), extra));
      store_n(d, vfma(hn::Mul(dot, row_scale), hn::LoadU(d, scales + j), before), sums + j, n);
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
STEMMA_LEVELS(split);
STEMMA_LEVELS(add_group);

constexpr int64_t kColumns = Panels::kColumns;
constexpr int64_t kDepth = 512, kSmallestGroup = 32, kLargestGroup = 128;

int64_t groups_of(const Layout& layout, int64_t k) {
  check(layout.group == 32 || layout.group == 64 || layout.group == 128,
        "[gemm] int4 has groups of 32, 64 or 128, not of ", layout.group);
  return (k + layout.group - 1) / layout.group;
}

int64_t number_bytes(const Layout& layout) { return layout.group / 2 * kColumns; }
int64_t group_bytes(const Layout& layout) { return number_bytes(layout) + 2 * kColumns; }

// A group of packed rows: the numbers in tiles, then their scales, then their sums.
struct RowGroup {
  RowGroup(int64_t rows, int64_t group)
      : numbers(bytes::row_bytes(rows, group)), scales((4 * rows + 63) / 64 * 64) {}
  int64_t numbers, scales;
  int64_t total() const { return numbers + 2 * scales; }
};

// Numbers 0 to 15 of n <= 128 values; returns the scale. The value of largest magnitude becomes 0.
float quantise_group(const float* x, int64_t n, uint8_t* q) {
  float extreme = 0;
  for (int64_t i = 0; i < n; ++i)
    if (!(std::abs(x[i]) <= std::abs(extreme))) extreme = x[i];
  const float scale = widen_f16(narrow_f16(extreme / -8));
  const float inverse = scale != 0 && std::isfinite(scale) ? 1 / scale : 0;
  for (int64_t i = 0; i < n; ++i) {
    const float number = std::nearbyint(x[i] * inverse) + 8;
    q[i] = static_cast<uint8_t>(std::clamp(std::isnan(number) ? 8.0f : number, 0.0f, 15.0f));
  }
  return scale;
}

void pack_panel(const Layout& layout, const MatrixRef& b, int64_t, int64_t k, int64_t column,
                int64_t columns, std::byte* panel) {
  float values[kLargestGroup];
  alignas(64) uint8_t q[kColumns * kLargestGroup];
  alignas(64) std::byte numbers[kLargestGroup * kColumns];
  for (int64_t g = 0; g < groups_of(layout, k); ++g, panel += group_bytes(layout)) {
    const int64_t k0 = g * layout.group, n = std::min(layout.group, k - k0);
    std::fill(q, q + sizeof q, uint8_t{0});
    uint16_t scales[kColumns] = {};
    for (int64_t j = 0; j < columns; ++j) {
      quantise::widen(b, (column + j) * b.stride + k0, n, values);
      scales[j] = narrow_f16(quantise_group(values, n, q + j * kLargestGroup));
    }
    for (int64_t at = 0; at < layout.group; at += bytes::kUnit)
      bytes::pack_panel(q + at, kLargestGroup, bytes::kUnit, columns, numbers + at * kColumns);
    constexpr int64_t kWord = kColumns * 4;
    for (int64_t i = 0; i < number_bytes(layout); ++i) {
      const std::byte* even = numbers + i / kWord * 2 * kWord + i % kWord;
      panel[i] = even[0] | even[kWord] << 4;
    }
    std::memcpy(panel + number_bytes(layout), scales, sizeof scales);
  }
}

Operand prepare(Ctx& c, const Layout& layout, const MatrixRef& a, int64_t m, int64_t k) {
  check(!a.transposed, "[gemm] int4 takes a left operand that is stored by rows");
  const int64_t groups = groups_of(layout, k), stride = groups * layout.group;
  // The numbers, then each row's scales and sums.
  Operand out{.matrix = {nullptr, stride, false, DType::i8},
              .data = c.pool->allocate(static_cast<size_t>(m * (stride + 8 * groups)))};
  uint8_t* q = reinterpret_cast<uint8_t*>(out.data.get());
  float* scales = reinterpret_cast<float*>(out.data.get() + m * stride);
  int32_t* sums = reinterpret_cast<int32_t*>(scales + m * groups);
  out.matrix.data = q, out.scales = scales, out.sums = sums;
  c.team->run_range(m, std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, k)),
                    [&](int64_t begin, int64_t end) {
                      float values[kLargestGroup];
                      for (int64_t r = begin; r < end; ++r)
                        for (int64_t g = 0; g < groups; ++g) {
                          const int64_t k0 = g * layout.group, n = std::min(layout.group, k - k0);
                          quantise::widen(a, r * a.stride + k0, n, values);
                          float& scale = scales[r * groups + g] = quantise::scale_of(values, n);
                          sums[r * groups + g] = quantise::to_int8(
                              values, n, scale, 0, layout.group, q + r * stride + k0);
                        }
                    });
  return out;
}

void pack_rows(const Layout& layout, const Operand& a, int64_t row, int64_t rows, int64_t k0,
               int64_t depth, std::byte* out) {
  const RowGroup size(rows, layout.group);
  const int64_t groups = a.matrix.stride / layout.group;
  const auto* q = static_cast<const uint8_t*>(a.matrix.data);
  for (int64_t k = 0; k < depth; k += layout.group, out += size.total()) {
    bytes::pack_rows(words::Dot::s8u8, q + row * a.matrix.stride + k0 + k, a.matrix.stride, rows,
                     layout.group, out);
    float* scales = reinterpret_cast<float*>(out + size.numbers);
    int32_t* sums = reinterpret_cast<int32_t*>(out + size.numbers + size.scales);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t at = (row + r) * groups + (k0 + k) / layout.group;
      scales[r] = a.scales[at], sums[r] = a.sums[at];
    }
  }
}

#if defined(STEMMA_HAS_DOT)
}  // namespace
}  // namespace stemma
STEMMA_BEFORE_DOT
namespace stemma {
namespace {

// Few rows, which lie in one tile: numbers go from memory to registers, once
// for each row.
void multiply_few(const Layout& layout, const Product& p, const std::byte* stretch, int64_t columns,
                  float* sums, int64_t stride) {
  const RowGroup size(p.m, layout.group);
  const uint32_t mask = columns < 32 ? (1u << columns) - 1 : ~0u;
  const auto left = static_cast<__mmask16>(mask), right = static_cast<__mmask16>(mask >> 16);
  const __m512i low = _mm512_set1_epi8(15);
  for (int64_t r = 0; r < p.m; ++r, sums += stride) {
    __m512 y0 = _mm512_setzero_ps(), y1 = y0;
    if (p.from_out)
      y0 = _mm512_maskz_loadu_ps(left, sums), y1 = _mm512_maskz_loadu_ps(right, sums + 16);
    const std::byte *group = stretch, *rows = p.rows;
    for (int64_t k = 0; k < p.depth; k += layout.group) {
      const uint32_t* a = reinterpret_cast<const uint32_t*>(rows) + r * words::kStep;
      const auto* scales = reinterpret_cast<const float*>(rows + size.numbers);
      const auto* row_sums = reinterpret_cast<const int32_t*>(rows + size.numbers + size.scales);
      __m512i x0 = _mm512_set1_epi32(-8 * row_sums[r]), x1 = x0;
      for (int64_t w = 0; w < layout.group / 4; w += 2) {
        const uint32_t* pair =
            a + w / words::kStep * words::tile_rows() * words::kStep + w % words::kStep;
        const __m512i even = _mm512_set1_epi32(static_cast<int>(pair[0]));
        const __m512i odd = _mm512_set1_epi32(static_cast<int>(pair[1]));
        const __m512i n0 = _mm512_loadu_si512(group + w * 64);
        const __m512i n1 = _mm512_loadu_si512(group + w * 64 + 64);
        x0 = dot_u8s8(x0, _mm512_and_si512(n0, low), even);
        x1 = dot_u8s8(x1, _mm512_and_si512(n1, low), even);
        x0 = dot_u8s8(x0, _mm512_and_si512(_mm512_srli_epi16(n0, 4), low), odd);
        x1 = dot_u8s8(x1, _mm512_and_si512(_mm512_srli_epi16(n1, 4), low), odd);
      }
      const __m512 scale = _mm512_set1_ps(scales[r]);
      const auto* column_scales = reinterpret_cast<const __m256i*>(group + number_bytes(layout));
      const __m512 s0 = _mm512_cvtph_ps(_mm256_loadu_si256(column_scales));
      const __m512 s1 = _mm512_cvtph_ps(_mm256_loadu_si256(column_scales + 1));
      y0 = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(x0), scale), s0, y0);
      y1 = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(x1), scale), s1, y1);
      group += group_bytes(layout), rows += size.total();
    }
    _mm512_mask_storeu_ps(sums, left, y0);
    _mm512_mask_storeu_ps(sums + 16, right, y1);
  }
}

}  // namespace
}  // namespace stemma
STEMMA_AFTER_DOT
namespace stemma {
namespace {

// Beyond it, splitting a group once for all rows pays.
constexpr int64_t kFewRows = 4;
#endif

void multiply(const Layout& layout, const Product& p, const std::byte* stretch, int64_t columns,
              float* sums, int64_t stride) {
#if defined(STEMMA_HAS_DOT)
  if (p.m <= kFewRows && (isa() == Isa::kAvx512Bf16 || isa() == Isa::kAmx))
    return multiply_few(layout, p, stretch, columns, sums, stride);
#endif
  const RowGroup size(p.m, layout.group);
  alignas(64) uint8_t numbers[kLargestGroup * kColumns] = {};
  alignas(64) int32_t exact[kBlockRows * kColumns];
  alignas(64) float scales[kColumns];
  const std::byte* rows = p.rows;
  if (p.depth == 0 && !p.from_out)
    for (int64_t r = 0; r < p.m; ++r) std::fill_n(sums + r * stride, columns, 0.0f);
  for (int64_t k = 0; k < p.depth; k += layout.group) {
    STEMMA_AT_LEVEL(split)(reinterpret_cast<const uint8_t*>(stretch), layout.group / 8, numbers);
    quantise::widen({stretch + number_bytes(layout), 0, false, DType::f16}, 0, kColumns, scales);
    bytes::multiply(words::Dot::s8u8, rows, p.m, layout.group,
                    reinterpret_cast<const std::byte*>(numbers), kColumns, false, exact, kColumns);
    STEMMA_AT_LEVEL(add_group)
    (exact, reinterpret_cast<const float*>(rows + size.numbers),
     reinterpret_cast<const int32_t*>(rows + size.numbers + size.scales), p.m, scales, columns,
     k > 0 || p.from_out, sums, stride);
    stretch += group_bytes(layout), rows += size.total();
  }
}

}  // namespace

const FormatOps kInt4Ops = {
    .name = "int4",
    .unit = kSmallestGroup,
    .depth = kDepth,
    .block_rows = [] { return f32::kBlockRows; },
    .element_bytes = 1,
    .panel_bytes = [](const Layout& l, int64_t k) { return groups_of(l, k) * group_bytes(l); },
    .panel_offset = [](const Layout& l, int64_t k) { return k / l.group * group_bytes(l); },
    .row_bytes =
        [](int64_t rows) {
          return kDepth / kSmallestGroup * RowGroup(rows, kSmallestGroup).total();
        },
    .prepare = prepare,
    .pack_rows = pack_rows,
    .quantised = true,
    .pack_panel = pack_panel,
    .multiply = multiply,
    .finish = nullptr,
    .unpack =
        [](const Layout& l, const std::byte* panel, int64_t k, int64_t columns, float* out) {
          for (int64_t i = 0; i < k; ++i) {
            const std::byte* group = panel + i / l.group * group_bytes(l);
            const int64_t word = i % l.group / 4;
            for (int64_t j = 0; j < columns; ++j) {
              const auto both = static_cast<int>(group[word / 2 * 4 * kColumns + 4 * j + i % 4]);
              uint16_t scale;
              std::memcpy(&scale, group + number_bytes(l) + 2 * j, sizeof scale);
              out[j * k + i] =
                  static_cast<float>((word % 2 ? both >> 4 : both & 15) - 8) * widen_f16(scale);
            }
          }
        },
};

}  // namespace stemma
#endif
