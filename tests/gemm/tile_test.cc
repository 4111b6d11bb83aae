// Tiles: the emulator against the instructions' definition where that is easy to state, and against
// the hardware, bit for bit, where there is any.
#include "simd/tile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "base/rng.h"
#include "simd/isa.h"
#include "tensor/dtype.h"

namespace stemma {
namespace {

using Tile = std::array<uint8_t, kTileBytes>;

struct Operands {
  Tile c, a, b;
};

enum class Dot { bf16, u8s8, s8u8 };

template <class Tiles>
Tile product(const Operands& x, Dot dot) {
  Tiles tiles;
  Tile out;
  tiles.template load<0>(x.c.data(), kTileRowBytes);
  tiles.template load<1>(x.a.data(), kTileRowBytes);
  tiles.template load<2>(x.b.data(), kTileRowBytes);
  if (dot == Dot::bf16) tiles.template dot_bf16<0, 1, 2>();
  if (dot == Dot::u8s8) tiles.template dot_u8s8<0, 1, 2>();
  if (dot == Dot::s8u8) tiles.template dot_s8u8<0, 1, 2>();
  tiles.template store<0>(out.data(), kTileRowBytes);
  return out;
}

Operands random_bytes(uint64_t seed) {
  const RngKey key(seed);
  Operands x;
  uint64_t i = 0;
  for (Tile* t : {&x.c, &x.a, &x.b})
    for (uint8_t& byte : *t) byte = static_cast<uint8_t>(key.uniform(i++) * 256);
  return x;
}

// Finite numbers whose exponents spread over `range` powers of two around 2^center.
Operands random_floats(uint64_t seed, int center, int range) {
  const RngKey key(seed);
  Operands x;
  uint64_t i = 0;
  const auto next = [&] {
    const double sign = key.uniform(i) < 0.5 ? -1 : 1, mantissa = 1 + key.uniform(i + 1);
    const double e = center + std::floor((key.uniform(i + 2) - 0.5) * range);
    i += 3;
    return static_cast<float>(sign * std::ldexp(mantissa, static_cast<int>(e)));
  };
  for (int64_t j = 0; j < kTileBytes; j += 4) {
    const uint32_t bits = std::bit_cast<uint32_t>(static_cast<float>(next() * std::abs(next())));
    std::copy_n(reinterpret_cast<const uint8_t*>(&bits), 4, x.c.begin() + j);
  }
  for (Tile* t : {&x.a, &x.b})
    for (int64_t j = 0; j < kTileBytes; j += 2) {
      const uint16_t half = narrow_bf16(next());
      std::copy_n(reinterpret_cast<const uint8_t*>(&half), 2, t->begin() + j);
    }
  return x;
}

TEST(Tile, BytesAreSummedExactly) {
  const Operands x = random_bytes(1);
  const Tile us = product<EmulatedTiles>(x, Dot::u8s8), su = product<EmulatedTiles>(x, Dot::s8u8);
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 16; ++n) {
      int32_t before, got_us, got_su;
      const int at = m * 64 + n * 4;
      std::copy_n(x.c.data() + at, 4, reinterpret_cast<uint8_t*>(&before));
      std::copy_n(us.data() + at, 4, reinterpret_cast<uint8_t*>(&got_us));
      std::copy_n(su.data() + at, 4, reinterpret_cast<uint8_t*>(&got_su));
      int64_t sum_us = before, sum_su = before;
      for (int k = 0; k < 64; ++k) {
        const uint8_t a = x.a[m * 64 + k], b = x.b[k / 4 * 64 + n * 4 + k % 4];
        sum_us += a * static_cast<int8_t>(b);
        sum_su += static_cast<int8_t>(a) * b;
      }
      ASSERT_EQ(got_us, static_cast<int32_t>(sum_us)) << m << ", " << n;
      ASSERT_EQ(got_su, static_cast<int32_t>(sum_su)) << m << ", " << n;
    }
}

TEST(Tile, Bf16IsNearTheProductInDoublePrecision) {
  const Operands x = random_floats(2, 0, 4);
  const Tile out = product<EmulatedTiles>(x, Dot::bf16);
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 16; ++n) {
      float sum, got;
      std::copy_n(x.c.data() + m * 64 + n * 4, 4, reinterpret_cast<uint8_t*>(&sum));
      std::copy_n(out.data() + m * 64 + n * 4, 4, reinterpret_cast<uint8_t*>(&got));
      double want = static_cast<double>(sum), magnitude = std::abs(want);
      for (int k = 0; k < 32; ++k) {
        uint16_t a, b;
        std::copy_n(x.a.data() + m * 64 + k * 2, 2, reinterpret_cast<uint8_t*>(&a));
        std::copy_n(x.b.data() + k / 2 * 64 + n * 4 + k % 2 * 2, 2, reinterpret_cast<uint8_t*>(&b));
        const double p = static_cast<double>(widen_bf16(a)) * static_cast<double>(widen_bf16(b));
        want += p, magnitude += std::abs(p);
      }
      ASSERT_NEAR(static_cast<double>(got), want, 1e-6 * magnitude) << m << ", " << n;
    }
}

TEST(Tile, TheEmulatorIsTheHardware) {
  if (!std::count(available_dot_isas().begin(), available_dot_isas().end(), Isa::kAmx))
    GTEST_SKIP() << "this CPU has no AMX";
#if defined(__x86_64__)
  const ScopedIsa at(Isa::kAmx);
  const TileScope outer;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const TileScope inner;
    for (Dot dot : {Dot::u8s8, Dot::s8u8}) {
      const Operands x = random_bytes(seed);
      ASSERT_EQ(product<HardwareTiles>(x, dot), product<EmulatedTiles>(x, dot)) << seed;
    }
    // Ordinary numbers, cancellation over a wide range, and results around the smallest normal.
    for (const auto& [center, range] :
         {std::pair{0, 4}, {0, 60}, {-63, 6}, {-66, 12}, {-100, 50}}) {
      const Operands x = random_floats(seed, center, range);
      ASSERT_EQ(product<HardwareTiles>(x, Dot::bf16), product<EmulatedTiles>(x, Dot::bf16))
          << "seed " << seed << ", exponents around " << center;
    }
  }
#endif
}

}  // namespace
}  // namespace stemma
