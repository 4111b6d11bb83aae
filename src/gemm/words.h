// The product of operands made of 32-bit words, two bf16 or four bytes along k each, at the levels
// that have an instruction for it: dot products of vectors (avx512_bf16) or tiles (amx). The
// formats of bf16, int8 and 4-bit weights stand on it.
// Rows lie in tiles of tile_rows(): [words / 16][tile_rows()][16]; a panel is [words][32]. Words
// are counted up to a multiple of 16, those past k zero in both operands.
// Thread safety: all functions.
#pragma once

#include <cstdint>

namespace stemma::words {

constexpr int64_t kStep = 16;  // words that a tile covers
constexpr int64_t kColumns = 32;

constexpr int64_t round_up(int64_t words) { return (words + kStep - 1) / kStep * kStep; }

// Whether isa() has any of this.
bool available();
int64_t tile_rows();
// Tile t of so many rows holds those from tile_begin(rows, t) to tile_begin(rows, t + 1).
int64_t tiles_of(int64_t rows);
int64_t tile_begin(int64_t rows, int64_t t);
// The most words that so many packed rows take.
constexpr int64_t packed_words(int64_t rows, int64_t words) {
  return (rows + 15) * round_up(words);
}

enum class Dot { bf16, u8s8, s8u8 };  // the type of the rows' bytes, then the panel's

// out [m, columns <= 32] = (from_out: out +) rows x panel, f32 for bf16 and else i32.
void multiply(Dot dot, const uint32_t* rows, int64_t m, int64_t words, const uint32_t* panel,
              int64_t columns, bool from_out, void* out, int64_t out_stride);

}  // namespace stemma::words
