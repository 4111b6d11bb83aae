// Dot level: a tile of up to 12 rows x 32 columns in 24 of 32 registers, as in f32.cc. Tile level:
// 2 x 2 tiles, so that four products share four loads.
#include "gemm/words.h"

#include <algorithm>
#include <utility>

#include "simd/dot.h"
#include "simd/isa.h"
#include "simd/tile.h"

namespace stemma::words {
namespace {

constexpr int64_t kDotRows = 12;

template <class Tiles, Dot dot, int c, int a, int b>
void multiply_add(Tiles& tiles) {
  if constexpr (dot == Dot::bf16) tiles.template dot_bf16<c, a, b>();
  if constexpr (dot == Dot::u8s8) tiles.template dot_u8s8<c, a, b>();
  if constexpr (dot == Dot::s8u8) tiles.template dot_s8u8<c, a, b>();
}

// Where the sums of 32 x 32 elements are kept.
struct Sums {
  uint32_t* data;
  int64_t stride;
  uint32_t* tile(int64_t row, int64_t column) const {
    return data + row * kTileRows * stride + column * kTileRows;
  }
};

// Up to two tiles of rows (`upper` steps of 256 words, `lower` likewise) x up to two of columns.
template <class Tiles, Dot dot, bool kTwoRows, bool kTwoColumns>
void tile_block(Tiles& t, const uint32_t* upper, const uint32_t* lower, int64_t steps,
                const uint32_t* panel, bool from_sums, const Sums& sums) {
  constexpr int64_t kPanelStride = kColumns * 4, kTileWords = kTileRows * kStep;
  const int64_t stride = sums.stride * 4;
  if (from_sums) {
    t.template load<0>(sums.tile(0, 0), stride);
    if constexpr (kTwoColumns) t.template load<1>(sums.tile(0, 1), stride);
    if constexpr (kTwoRows) t.template load<2>(sums.tile(1, 0), stride);
    if constexpr (kTwoRows && kTwoColumns) t.template load<3>(sums.tile(1, 1), stride);
  } else {
    t.template zero<0>();
    if constexpr (kTwoColumns) t.template zero<1>();
    if constexpr (kTwoRows) t.template zero<2>();
    if constexpr (kTwoRows && kTwoColumns) t.template zero<3>();
  }
  for (int64_t s = 0; s < steps; ++s) {
    const uint32_t* b = panel + s * kStep * kColumns;
    t.template load<4>(upper + s * kTileWords, kTileRowBytes);
    t.template load<6>(b, kPanelStride);
    multiply_add<Tiles, dot, 0, 4, 6>(t);
    if constexpr (kTwoRows) {
      t.template load<5>(lower + s * kTileWords, kTileRowBytes);
      multiply_add<Tiles, dot, 2, 5, 6>(t);
    }
    if constexpr (kTwoColumns) {
      t.template load<7>(b + kTileRows, kPanelStride);
      multiply_add<Tiles, dot, 1, 4, 7>(t);
    }
    if constexpr (kTwoRows && kTwoColumns) multiply_add<Tiles, dot, 3, 5, 7>(t);
  }
  t.template store<0>(sums.tile(0, 0), stride);
  if constexpr (kTwoColumns) t.template store<1>(sums.tile(0, 1), stride);
  if constexpr (kTwoRows) t.template store<2>(sums.tile(1, 0), stride);
  if constexpr (kTwoRows && kTwoColumns) t.template store<3>(sums.tile(1, 1), stride);
}

template <class Tiles, Dot dot>
void multiply_tiles(const uint32_t* rows, int64_t m, int64_t words, const uint32_t* panel,
                    int64_t columns, bool from_out, uint32_t* out, int64_t out_stride) {
  const TileScope scope;
  Tiles t;
  const int64_t steps = round_up(words) / kStep, tile_words = steps * kTileRows * kStep;
  alignas(64) uint32_t side[2 * kTileRows * kColumns];
  for (int64_t begin = 0; begin < m; begin += 2 * kTileRows) {
    const int64_t height = std::min(m - begin, 2 * kTileRows);
    const uint32_t *upper = rows + begin / kTileRows * tile_words, *lower = upper + tile_words;
    uint32_t* to = out + begin * out_stride;
    // Partial tiles are summed beside the output.
    const bool whole = height % kTileRows == 0 && columns % kTileRows == 0;
    const Sums sums = whole ? Sums{to, out_stride} : Sums{side, kColumns};
    if (!whole && from_out)
      for (int64_t r = 0; r < height; ++r)
        std::copy_n(to + r * out_stride, columns, side + r * kColumns);
    const auto run = height > kTileRows ? columns > kTileRows ? tile_block<Tiles, dot, true, true>
                                                              : tile_block<Tiles, dot, true, false>
                     : columns > kTileRows ? tile_block<Tiles, dot, false, true>
                                           : tile_block<Tiles, dot, false, false>;
    run(t, upper, lower, steps, panel, from_out, sums);
    if (!whole)
      for (int64_t r = 0; r < height; ++r)
        std::copy_n(side + r * kColumns, columns, to + r * out_stride);
  }
}

}  // namespace
}  // namespace stemma::words

#if defined(STEMMA_HAS_DOT)
STEMMA_BEFORE_DOT
namespace stemma::words {
namespace {

// How many words ahead a panel is fetched into L1: some hundred cycles.
constexpr int64_t kAhead = 32;

// Sums of either type are kept as bits.
template <Dot dot>
inline __attribute__((always_inline)) __m512i add_dot(__m512i acc, __m512i row, __m512i panel) {
  if constexpr (dot == Dot::bf16)
    return _mm512_castps_si512(dot_bf16(_mm512_castsi512_ps(acc), row, panel));
  if constexpr (dot == Dot::u8s8) return dot_u8s8(acc, row, panel);
  if constexpr (dot == Dot::s8u8) return dot_u8s8(acc, panel, row);
}

template <Dot dot, size_t... R>
inline __attribute__((always_inline)) void dot_tile(std::index_sequence<R...>,
                                                    const uint32_t* __restrict a, int64_t steps,
                                                    const uint32_t* __restrict b,
                                                    __mmask16 left_mask, __mmask16 right_mask,
                                                    bool from_out, uint32_t* __restrict out,
                                                    int64_t out_stride) {
  __m512i left[sizeof...(R)], right[sizeof...(R)];
  if (from_out) {
    ((left[R] = _mm512_maskz_loadu_epi32(left_mask, out + R * out_stride)), ...);
    ((right[R] = _mm512_maskz_loadu_epi32(right_mask, out + R * out_stride + kStep)), ...);
  } else {
    ((left[R] = right[R] = _mm512_setzero_si512()), ...);
  }
  for (int64_t s = 0; s < steps; ++s, a += kDotRows * kStep)
#pragma GCC unroll 4
    for (int64_t w = 0; w < kStep; ++w, b += kColumns) {
      __builtin_prefetch(b + kAhead * kColumns);
      __builtin_prefetch(b + kAhead * kColumns + kStep);
      const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + kStep);
      __m512i x;
      ((x = _mm512_set1_epi32(static_cast<int>(a[R * kStep + w])),
        left[R] = add_dot<dot>(left[R], x, b0), right[R] = add_dot<dot>(right[R], x, b1)),
       ...);
    }
  ((_mm512_mask_storeu_epi32(out + R * out_stride, left_mask, left[R])), ...);
  ((_mm512_mask_storeu_epi32(out + R * out_stride + kStep, right_mask, right[R])), ...);
}

template <Dot dot, size_t kRows>
void dot_rows(const uint32_t* a, int64_t steps, const uint32_t* b, __mmask16 left_mask,
              __mmask16 right_mask, bool from_out, uint32_t* out, int64_t out_stride) {
  dot_tile<dot>(std::make_index_sequence<kRows>(), a, steps, b, left_mask, right_mask, from_out,
                out, out_stride);
}

// Calls the function for 1 to kDotRows rows.
template <Dot dot, size_t... R, class... Args>
void dispatch(std::index_sequence<R...>, int64_t rows, Args... args) {
  static constexpr decltype(&dot_rows<dot, 1>) kTable[] = {dot_rows<dot, R + 1>...};
  kTable[rows - 1](args...);
}

template <Dot dot>
void multiply_dots(const uint32_t* rows, int64_t m, int64_t words, const uint32_t* panel,
                   int64_t columns, bool from_out, uint32_t* out, int64_t out_stride) {
  const int64_t steps = round_up(words) / kStep;
  const uint32_t mask = columns < 32 ? (1u << columns) - 1 : ~0u;
  for (int64_t t = 0; t < tiles_of(m); ++t) {
    const int64_t begin = tile_begin(m, t), height = tile_begin(m, t + 1) - begin;
    dispatch<dot>(std::make_index_sequence<kDotRows>(), height, rows + t * steps * kDotRows * kStep,
                  steps, panel, static_cast<__mmask16>(mask), static_cast<__mmask16>(mask >> 16),
                  from_out, out + begin * out_stride, out_stride);
  }
}

}  // namespace
}  // namespace stemma::words
STEMMA_AFTER_DOT
#endif

namespace stemma::words {
namespace {

using Multiply = void (*)(const uint32_t*, int64_t, int64_t, const uint32_t*, int64_t, bool,
                          uint32_t*, int64_t);

template <Dot dot>
Multiply at_level() {
  if (isa() == Isa::kAmxEmulated) return multiply_tiles<EmulatedTiles, dot>;
#if defined(STEMMA_HAS_DOT)
  if (isa() == Isa::kAvx512Bf16) return multiply_dots<dot>;
#endif
#if defined(__x86_64__)
  return multiply_tiles<HardwareTiles, dot>;
#else
  return nullptr;
#endif
}

}  // namespace

bool available() { return isa() >= Isa::kAvx512Bf16; }
int64_t tile_rows() { return uses_tiles() ? kTileRows : kDotRows; }

int64_t tiles_of(int64_t rows) { return (rows + tile_rows() - 1) / tile_rows(); }
// Rows are spread evenly over the tiles of the dot level: 13 rows are 7 and 6, not 12 and 1. Those
// of the tile level cost the same full or not.
int64_t tile_begin(int64_t rows, int64_t t) {
  return uses_tiles() ? std::min(rows, t * kTileRows) : rows * t / tiles_of(rows);
}

void multiply(Dot dot, const uint32_t* rows, int64_t m, int64_t words, const uint32_t* panel,
              int64_t columns, bool from_out, void* out, int64_t out_stride) {
  const Multiply run = dot == Dot::bf16   ? at_level<Dot::bf16>()
                       : dot == Dot::u8s8 ? at_level<Dot::u8s8>()
                                          : at_level<Dot::s8u8>();
  run(rows, m, words, panel, columns, from_out, static_cast<uint32_t*>(out), out_stride);
}

}  // namespace stemma::words
