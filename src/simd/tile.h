// Tiles: AMX by own wrappers, and the same instructions on a scalar emulator. A kernel is a
// template over one of the two, with the same calls and the same bits.
// A tile has 16 rows of 64 bytes. dot_bf16<c, a, b> (TDPBF16PS): c [16,16] f32 += a [16,32] bf16 x
// b [32,16], b in rows of pairs along k; per element the even and the odd products make a chain of
// fused multiply-adds each, from zero, whose sum is added to c; subnormal operands and results
// count as zero. dot_u8s8 and dot_s8u8 (TDPBUSD, TDPBSUD): c [16,16] i32 += a [16,64] x b [64,16]
// bytes, b in rows of quads along k; exact, modulo 2^32.
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
// g++ 12's own intrinsics tell the compiler nothing of the memory they touch and lose stores.
// Thread safety: tiles belong to a thread; TileScope configures them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace stemma {

constexpr int64_t kTileRows = 16, kTileRowBytes = 64, kTileBytes = kTileRows * kTileRowBytes;

// While one lives, this thread's tiles are configured: all eight with 16 rows of 64 bytes. Scopes
// may nest; only the outermost costs anything. Does nothing where isa() has no hardware tiles.
class TileScope {
 public:
  TileScope();
  ~TileScope();
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;

 private:
  bool active_;
};

#if defined(__x86_64__)
struct HardwareTiles {
  template <int t>
  void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(t));
  }
  template <int t>
  void load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(t) : "memory");
  }
  template <int t>
  void store(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(t) : "memory");
  }
  template <int c, int a, int b>
  void dot_bf16() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(c), "i"(a), "i"(b));
  }
  template <int c, int a, int b>
  void dot_u8s8() {
    asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(c), "i"(a), "i"(b));
  }
  template <int c, int a, int b>
  void dot_s8u8() {
    asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(c), "i"(a), "i"(b));
  }
};
#endif

namespace internal {
// c, a and b are whole tiles, as tilestored would leave them with a stride of 64.
void tile_dot_bf16(std::byte* c, const std::byte* a, const std::byte* b);
void tile_dot_u8s8(std::byte* c, const std::byte* a, const std::byte* b);
void tile_dot_s8u8(std::byte* c, const std::byte* a, const std::byte* b);
}  // namespace internal

class EmulatedTiles {
 public:
  template <int t>
  void zero() {
    std::memset(tile_[t], 0, kTileBytes);
  }
  template <int t>
  void load(const void* from, int64_t stride) {
    for (int64_t r = 0; r < kTileRows; ++r)
      std::memcpy(tile_[t] + r * kTileRowBytes, static_cast<const std::byte*>(from) + r * stride,
                  kTileRowBytes);
  }
  template <int t>
  void store(void* to, int64_t stride) {
    for (int64_t r = 0; r < kTileRows; ++r)
      std::memcpy(static_cast<std::byte*>(to) + r * stride, tile_[t] + r * kTileRowBytes,
                  kTileRowBytes);
  }
  template <int c, int a, int b>
  void dot_bf16() {
    internal::tile_dot_bf16(tile_[c], tile_[a], tile_[b]);
  }
  template <int c, int a, int b>
  void dot_u8s8() {
    internal::tile_dot_u8s8(tile_[c], tile_[a], tile_[b]);
  }
  template <int c, int a, int b>
  void dot_s8u8() {
    internal::tile_dot_s8u8(tile_[c], tile_[a], tile_[b]);
  }

 private:
  alignas(64) std::byte tile_[8][kTileBytes];
};

}  // namespace stemma
