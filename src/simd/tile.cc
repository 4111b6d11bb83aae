#include "simd/tile.h"

#include <cmath>

#include "simd/isa.h"

namespace stemma {
namespace {

thread_local int scopes = 0;  // of this thread

float flush(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }

float widen(const std::byte* p) {
  uint16_t half;
  std::memcpy(&half, p, sizeof half);
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return flush(x);
}

template <class A, class B>
void dot_bytes(std::byte* c, const std::byte* a, const std::byte* b) {
  for (int64_t m = 0; m < kTileRows; ++m)
    for (int64_t n = 0; n < kTileRows; ++n) {
      uint32_t sum;
      std::byte* out = c + m * kTileRowBytes + n * 4;
      std::memcpy(&sum, out, sizeof sum);
      for (int64_t k = 0; k < kTileRowBytes; ++k) {
        const auto x = static_cast<A>(a[m * kTileRowBytes + k]);
        const auto y = static_cast<B>(b[k / 4 * kTileRowBytes + n * 4 + k % 4]);
        sum += static_cast<uint32_t>(static_cast<int32_t>(x) * static_cast<int32_t>(y));
      }
      std::memcpy(out, &sum, sizeof sum);
    }
}

}  // namespace

TileScope::TileScope() : active_(isa() == Isa::kAmx) {
#if defined(__x86_64__)
  if (!active_ || scopes++ > 0) return;
  struct alignas(64) Configuration {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  static const Configuration configuration;
  asm volatile("ldtilecfg %0" ::"m"(configuration));
#endif
}

TileScope::~TileScope() {
#if defined(__x86_64__)
  if (active_ && --scopes == 0) asm volatile("tilerelease");
#endif
}

namespace internal {

void tile_dot_bf16(std::byte* c, const std::byte* a, const std::byte* b) {
  float left[kTileRows][2 * kTileRows], right[2 * kTileRows][kTileRows];  // [m][k], [k][n]
  for (int64_t i = 0; i < kTileRows; ++i)
    for (int64_t k = 0; k < 2 * kTileRows; ++k) {
      left[i][k] = widen(a + i * kTileRowBytes + k * 2);
      right[k][i] = widen(b + k / 2 * kTileRowBytes + i * 4 + k % 2 * 2);
    }
  for (int64_t m = 0; m < kTileRows; ++m)
    for (int64_t n = 0; n < kTileRows; ++n) {
      float even = 0, odd = 0, sum;
      for (int64_t k = 0; k < 2 * kTileRows; k += 2) {
        even = flush(std::fma(left[m][k], right[k][n], even));
        odd = flush(std::fma(left[m][k + 1], right[k + 1][n], odd));
      }
      std::byte* out = c + m * kTileRowBytes + n * 4;
      std::memcpy(&sum, out, sizeof sum);
      sum = flush(flush(sum) + flush(even + odd));
      std::memcpy(out, &sum, sizeof sum);
    }
}

void tile_dot_u8s8(std::byte* c, const std::byte* a, const std::byte* b) {
  dot_bytes<uint8_t, int8_t>(c, a, b);
}
void tile_dot_s8u8(std::byte* c, const std::byte* a, const std::byte* b) {
  dot_bytes<int8_t, uint8_t>(c, a, b);
}

}  // namespace internal
}  // namespace stemma
