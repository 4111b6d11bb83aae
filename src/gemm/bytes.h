// The exact product of bytes, rows x panel -> i32, at every level: what int8 and 4-bit weights are
// multiplied with. Rows are u8 or s8; a panel is [k / 4][32 columns][4] bytes of the other sign, or
// of neither below 128, zeros up to a multiple of 64 k.
// Thread safety: all functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gemm/words.h"

namespace stemma::bytes {

constexpr int64_t kUnit = 64;
constexpr int64_t round_up(int64_t k) { return (k + kUnit - 1) / kUnit * kUnit; }
// The most bytes that so many packed rows take. Below avx512_bf16 they lie as 16-bit numbers.
constexpr int64_t row_bytes(int64_t rows, int64_t depth) {
  return (rows + 15) * round_up(depth) * 2;
}

// Rows of `depth` bytes, `stride` apart, in tiles, to `out` (64-byte aligned).
void pack_rows(words::Dot dot, const uint8_t* a, int64_t stride, int64_t rows, int64_t depth,
               std::byte* out);
// out [m, columns <= 32] = (from_out: out +) rows x panel.
void multiply(words::Dot dot, const std::byte* rows, int64_t m, int64_t depth,
              const std::byte* panel, int64_t columns, bool from_out, int32_t* out,
              int64_t out_stride);
// A panel of `depth` k (up to a multiple of 64) from its columns, stored as rows `stride` apart
// that are zero from k to there.
void pack_panel(const uint8_t* b, int64_t stride, int64_t depth, int64_t columns, std::byte* out);

}  // namespace stemma::bytes
