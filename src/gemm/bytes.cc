// Below avx512_bf16: the even and the odd bytes of a word become 16-bit pairs, of rows while they
// are packed and of panels in registers; each pair is one VPMADDWD. Rows lie [tile][word][row][even
// pair, odd pair].
#include "gemm/bytes.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "tensor/dtype.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "gemm/bytes.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"
// After the two above.
#include "gemm/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using I = hn::ScalableTag<int32_t>;
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(I()));
constexpr int64_t kTileRows = HWY_TARGET == HWY_AVX3 ? 12 : 6;
constexpr int64_t kPanel = words::kColumns;

int64_t tiles_of(int64_t rows) { return (rows + kTileRows - 1) / kTileRows; }
int64_t tile_begin(int64_t rows, int64_t tile) { return rows * tile / tiles_of(rows); }

struct Pairs {
  int16_t even[2], odd[2];
};

template <class T>
void pack_pairs(const uint8_t* a, int64_t stride, int64_t rows, int64_t depth, Pairs* out) {
  const int64_t count = words::round_up((depth + 3) / 4);
  for (int64_t t = 0; t < tiles_of(rows); ++t, out += count * kTileRows)
    for (int64_t r = tile_begin(rows, t); r < tile_begin(rows, t + 1); ++r) {
      const uint8_t* from = a + r * stride;
      Pairs* to = out + (r - tile_begin(rows, t));
      const auto at = [&](int64_t k) {
        return k < depth ? static_cast<int16_t>(static_cast<T>(from[k])) : int16_t{0};
      };
      for (int64_t w = 0; w < count; ++w, to += kTileRows)
        *to = {{at(4 * w), at(4 * w + 2)}, {at(4 * w + 1), at(4 * w + 3)}};
    }
}

void pack_pairs_of(words::Dot dot, const uint8_t* a, int64_t stride, int64_t rows, int64_t depth,
                   std::byte* out) {
  (dot == words::Dot::u8s8
       ? pack_pairs<uint8_t>
       : pack_pairs<int8_t>)(a, stride, rows, depth, reinterpret_cast<Pairs*>(out));
}

// acc + the products of pairs, added.
HWY_INLINE hn::Vec<I> add_pairs(hn::Vec<I> acc, const int16_t* row, hn::Vec<I> panel) {
#if HWY_TARGET == HWY_SCALAR
  const int16_t low = static_cast<int16_t>(panel.raw), high = static_cast<int16_t>(panel.raw >> 16);
  return hn::Vec<I>(acc.raw + row[0] * low + row[1] * high);
#else
  const hn::Repartition<int16_t, I> dh;
  int32_t pair;
  std::memcpy(&pair, row, sizeof pair);
  auto unused = hn::Zero(I());
  return hn::ReorderWidenMulAccumulate(I(), hn::BitCast(dh, hn::Set(I(), pair)),
                                       hn::BitCast(dh, panel), acc, unused);
#endif
}
// The bytes 0 and 2 of each word as 16-bit numbers, or 1 and 3.
HWY_INLINE hn::Vec<I> even_bytes(hn::Vec<I> x) {
#if HWY_TARGET == HWY_SCALAR
  const uint32_t low = static_cast<uint16_t>(static_cast<int8_t>(x.raw));
  const uint32_t high = static_cast<uint16_t>(static_cast<int8_t>(x.raw >> 16));
  return hn::Vec<I>(static_cast<int32_t>(low | high << 16));
#else
  const hn::Repartition<int16_t, I> dh;
  return hn::BitCast(I(), hn::ShiftRight<8>(hn::ShiftLeft<8>(hn::BitCast(dh, x))));
#endif
}
HWY_INLINE hn::Vec<I> odd_bytes(hn::Vec<I> x) {
#if HWY_TARGET == HWY_SCALAR
  return even_bytes(hn::Vec<I>(static_cast<int32_t>(static_cast<uint32_t>(x.raw) >> 8)));
#else
  const hn::Repartition<int16_t, I> dh;
  return hn::BitCast(I(), hn::ShiftRight<8>(hn::BitCast(dh, x)));
#endif
}

template <size_t... R>
HWY_INLINE void tile(std::index_sequence<R...>, const Pairs* HWY_RESTRICT a,
                     const int32_t* HWY_RESTRICT b, int64_t count, bool from_out,
                     int32_t* HWY_RESTRICT out, int64_t out_stride) {
  const I d;
  hn::Vec<I> left[sizeof...(R)], right[sizeof...(R)];
  if (from_out) {
    ((left[R] = hn::LoadU(d, out + R * out_stride)), ...);
    ((right[R] = hn::LoadU(d, out + R * out_stride + kLanes)), ...);
  } else {
    ((left[R] = hn::Zero(d), right[R] = hn::Zero(d)), ...);
  }
  for (int64_t w = 0; w < count; ++w, a += kTileRows, b += kPanel) {
    const auto b0 = hn::LoadU(d, b), b1 = hn::LoadU(d, b + kLanes);
    const auto even0 = even_bytes(b0), even1 = even_bytes(b1);
    ((left[R] = add_pairs(left[R], a[R].even, even0),
      right[R] = add_pairs(right[R], a[R].even, even1)),
     ...);
    const auto odd0 = odd_bytes(b0), odd1 = odd_bytes(b1);
    ((left[R] = add_pairs(left[R], a[R].odd, odd0), right[R] = add_pairs(right[R], a[R].odd, odd1)),
     ...);
  }
  ((hn::StoreU(left[R], d, out + R * out_stride)), ...);
  ((hn::StoreU(right[R], d, out + R * out_stride + kLanes)), ...);
}

template <size_t kRows>
void tile_rows(const Pairs* a, const int32_t* b, int64_t count, bool from_out, int32_t* out,
               int64_t out_stride) {
  tile(std::make_index_sequence<kRows>(), a, b, count, from_out, out, out_stride);
}
template <size_t... R>
auto pick(std::index_sequence<R...>, int64_t rows) {
  static constexpr decltype(&tile_rows<1>) kTable[] = {tile_rows<R + 1>...};
  return kTable[rows - 1];
}

void multiply_pairs(const std::byte* rows, int64_t m, int64_t depth, const std::byte* panel,
                    int64_t columns, bool from_out, int32_t* out, int64_t out_stride) {
  const int64_t count = words::round_up((depth + 3) / 4);
  int32_t side[kTileRows * kPanel];  // a partial panel is computed whole, beside the output
  for (int64_t t = 0; t < tiles_of(m); ++t) {
    const int64_t begin = tile_begin(m, t), height = tile_begin(m, t + 1) - begin;
    const Pairs* a = reinterpret_cast<const Pairs*>(rows) + t * count * kTileRows;
    const bool whole = columns == kPanel;
    int32_t *to = out + begin * out_stride, *sums = whole ? to : side;
    const int64_t stride = whole ? out_stride : kPanel;
    if (!whole && from_out)
      for (int64_t r = 0; r < height; ++r)
        std::copy_n(to + r * out_stride, columns, side + r * kPanel);
    for (int64_t j = 0; j < kPanel; j += 2 * kLanes)
      pick(std::make_index_sequence<kTileRows>(), height)(
          a, reinterpret_cast<const int32_t*>(panel) + j, count, from_out, sums + j, stride);
    if (!whole)
      for (int64_t r = 0; r < height; ++r)
        std::copy_n(side + r * kPanel, columns, to + r * out_stride);
  }
}

void pack_panel(const uint8_t* b, int64_t stride, int64_t depth, int64_t columns, std::byte* out) {
  rows::transpose(reinterpret_cast<const float*>(b), stride / 4, columns,
                  words::round_up((depth + 3) / 4), kPanel, reinterpret_cast<float*>(out), kPanel);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {
STEMMA_LEVELS(pack_pairs_of);
STEMMA_LEVELS(multiply_pairs);
STEMMA_LEVELS(pack_panel);
}  // namespace

namespace bytes {

void pack_rows(words::Dot dot, const uint8_t* a, int64_t stride, int64_t rows, int64_t depth,
               std::byte* out) {
  if (!words::available()) return STEMMA_AT_LEVEL(pack_pairs_of)(dot, a, stride, rows, depth, out);
  for (int64_t t = 0; t < words::tiles_of(rows); ++t) {
    const int64_t begin = words::tile_begin(rows, t), end = words::tile_begin(rows, t + 1);
    for (int64_t k = 0; k < depth; k += kUnit, out += words::tile_rows() * kUnit)
      for (int64_t r = begin; r < end; ++r) {
        std::byte* to = out + (r - begin) * kUnit;
        const int64_t n = std::min(kUnit, depth - k);
        if (n == kUnit) {
          std::memcpy(to, a + r * stride + k, kUnit);  // of a known size: no call
        } else {
          std::memset(to, 0, kUnit);
          std::memcpy(to, a + r * stride + k, static_cast<size_t>(n));
        }
      }
  }
}

void multiply(words::Dot dot, const std::byte* rows, int64_t m, int64_t depth,
              const std::byte* panel, int64_t columns, bool from_out, int32_t* out,
              int64_t out_stride) {
  if (words::available())
    words::multiply(dot, reinterpret_cast<const uint32_t*>(rows), m, (depth + 3) / 4,
                    reinterpret_cast<const uint32_t*>(panel), columns, from_out, out, out_stride);
  else
    STEMMA_AT_LEVEL(multiply_pairs)(rows, m, depth, panel, columns, from_out, out, out_stride);
}

void pack_panel(const uint8_t* b, int64_t stride, int64_t depth, int64_t columns, std::byte* out) {
  STEMMA_AT_LEVEL(pack_panel)(b, stride, depth, columns, out);
}

}  // namespace bytes
}  // namespace stemma
#endif
