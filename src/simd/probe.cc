#include "simd/probe.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "simd/dot.h"
#include "simd/tile.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/probe.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// `rounds` steps of twelve independent chains, enough to hide the latency of two units; returns the
// operations done.
double fma_chains(int64_t rounds, float* sink) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const V x = hn::Set(d, 0.999f), y = hn::Set(d, 1e-3f);
  // All different, or the compiler would see that twelve chains are one.
  V a0 = hn::Iota(d, 0), a1 = hn::Iota(d, 1), a2 = hn::Iota(d, 2), a3 = hn::Iota(d, 3);
  V a4 = hn::Iota(d, 4), a5 = hn::Iota(d, 5), a6 = hn::Iota(d, 6), a7 = hn::Iota(d, 7);
  V a8 = hn::Iota(d, 8), a9 = hn::Iota(d, 9), a10 = hn::Iota(d, 10), a11 = hn::Iota(d, 11);
  for (int64_t i = 0; i < rounds; ++i) {
    a0 = vfma(a0, x, y), a1 = vfma(a1, x, y), a2 = vfma(a2, x, y), a3 = vfma(a3, x, y);
    a4 = vfma(a4, x, y), a5 = vfma(a5, x, y), a6 = vfma(a6, x, y), a7 = vfma(a7, x, y);
    a8 = vfma(a8, x, y), a9 = vfma(a9, x, y), a10 = vfma(a10, x, y), a11 = vfma(a11, x, y);
  }
  const V s =
      hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(hn::Add(a4, a5), hn::Add(a6, a7)));
  *sink = hn::GetLane(hn::Add(s, hn::Add(hn::Add(a8, a9), hn::Add(a10, a11))));
  return static_cast<double>(rounds) * 12 * 2 * static_cast<double>(hn::Lanes(d));
}

// The same with 16-bit integers: a product of pairs, and the sum, on eight chains.
double pair_chains(int64_t rounds, float* sink) {
  const hn::ScalableTag<int32_t> d;
  using V = hn::Vec<decltype(d)>;
#if HWY_TARGET == HWY_SCALAR
  const auto step = [](V a, V b) HWY_ATTR { return hn::Add(a, hn::Mul(a, b)); };
#else
  const hn::Repartition<int16_t, decltype(d)> dh;
  const auto step = [&](V a, V b) HWY_ATTR {
    auto unused = hn::Zero(d);
    return hn::ReorderWidenMulAccumulate(d, hn::BitCast(dh, b), hn::BitCast(dh, b), a, unused);
  };
#endif
  V a0 = hn::Iota(d, 0), a1 = hn::Iota(d, 1), a2 = hn::Iota(d, 2), a3 = hn::Iota(d, 3);
  V a4 = hn::Iota(d, 4), a5 = hn::Iota(d, 5), a6 = hn::Iota(d, 6), a7 = hn::Iota(d, 7);
  V b = hn::Set(d, 3);
  for (int64_t i = 0; i < rounds; ++i) {
    a0 = step(a0, b), a1 = step(a1, b), a2 = step(a2, b), a3 = step(a3, b);
    a4 = step(a4, b), a5 = step(a5, b), a6 = step(a6, b), a7 = step(a7, b);
    asm volatile("" : "+m"(b));  // or the product would be made once
  }
  const V s =
      hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(hn::Add(a4, a5), hn::Add(a6, a7)));
  *sink = static_cast<float>(hn::GetLane(s));
  const double pairs = HWY_TARGET == HWY_SCALAR ? 1 : 2;
  return static_cast<double>(rounds) * 8 * 2 * pairs * static_cast<double>(hn::Lanes(d));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#if defined(STEMMA_HAS_DOT)
STEMMA_BEFORE_DOT
namespace stemma {
namespace {

template <class Step>
inline __attribute__((always_inline)) double dot_chains(int64_t rounds, double per_dot, float* sink,
                                                        Step step) {
  __m512i a[12];
  for (int i = 0; i < 12; ++i) a[i] = _mm512_set1_epi32(i);
  const __m512i x = _mm512_set1_epi32(0x3c003c01), y = _mm512_set1_epi32(0x3a023a00);
  for (int64_t r = 0; r < rounds; ++r)
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) a[i] = step(a[i], x, y);
  for (int i = 1; i < 12; ++i) a[0] = _mm512_add_epi32(a[0], a[i]);
  alignas(64) float lanes[16];
  _mm512_store_si512(lanes, a[0]);
  *sink = lanes[0];
  return static_cast<double>(rounds) * 12 * per_dot;
}

struct Bf16Step {
  inline __attribute__((always_inline)) __m512i operator()(__m512i a, __m512i x, __m512i y) const {
    return _mm512_castps_si512(dot_bf16(_mm512_castsi512_ps(a), x, y));
  }
};
struct Int8Step {
  inline __attribute__((always_inline)) __m512i operator()(__m512i a, __m512i x, __m512i y) const {
    return dot_u8s8(a, x, y);
  }
};
double bf16_chains(int64_t rounds, float* sink) { return dot_chains(rounds, 64, sink, Bf16Step()); }
double int8_chains(int64_t rounds, float* sink) {
  return dot_chains(rounds, 128, sink, Int8Step());
}

}  // namespace
}  // namespace stemma
STEMMA_AFTER_DOT
#endif

namespace stemma {
namespace {

STEMMA_LEVELS(fma_chains);
STEMMA_LEVELS(pair_chains);

using Chains = double (*)(int64_t rounds, float* sink);

double best_rate(Team& team, double seconds, Chains chains) {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t kRounds = 1 << 16;  // a fraction of a millisecond to a few
  const auto since = [](Clock::time_point t) {
    return std::chrono::duration<double>(Clock::now() - t).count();
  };
  struct alignas(64) Turn {
    double rate = 0;
    float sink = 0;
  };
  std::vector<Turn> turns(static_cast<size_t>(team.size()));
  const auto begin = Clock::now();
  do {
    team.run(team.size(), [&](int64_t i) {
      Turn& turn = turns[static_cast<size_t>(i)];
      const auto start = Clock::now();
      const double operations = chains(kRounds, &turn.sink);
      turn.rate = std::max(turn.rate, operations / since(start));
    });
  } while (since(begin) < seconds);
  double sum = 0;
  for (const Turn& turn : turns) sum += turn.rate;
  return sum;
}

#if defined(__x86_64__)
// 2 x 2 tiles of sums, as gemm has them; both operands stay in L1.
template <bool kBf16>
double tile_products(int64_t rounds, float* sink) {
  constexpr int64_t kSteps = 4;
  static const std::byte operands[4 * kSteps * kTileBytes] = {};
  const TileScope scope;
  HardwareTiles t;
  t.zero<0>(), t.zero<1>(), t.zero<2>(), t.zero<3>();
  for (int64_t r = 0; r < rounds; r += 4) {
    const std::byte* from = operands + r / 4 % kSteps * 4 * kTileBytes;
    t.load<4>(from, kTileRowBytes), t.load<6>(from + kTileBytes, kTileRowBytes);
    t.load<5>(from + 2 * kTileBytes, kTileRowBytes),
        t.load<7>(from + 3 * kTileBytes, kTileRowBytes);
    if constexpr (kBf16) {
      t.dot_bf16<0, 4, 6>(), t.dot_bf16<2, 5, 6>();
      t.dot_bf16<1, 4, 7>(), t.dot_bf16<3, 5, 7>();
    } else {
      t.dot_u8s8<0, 4, 6>(), t.dot_u8s8<2, 5, 6>();
      t.dot_u8s8<1, 4, 7>(), t.dot_u8s8<3, 5, 7>();
    }
  }
  alignas(64) float sums[kTileBytes / sizeof(float)];
  t.store<0>(sums, kTileRowBytes);
  *sink = sums[0];
  return static_cast<double>(rounds) * 2 * kTileRows * kTileRows * (kBf16 ? 32 : 64);
}
#endif

}  // namespace

double fma_peak(Team& team, double seconds) {
  return best_rate(team, seconds, STEMMA_AT_LEVEL(fma_chains));
}

double bf16_peak(Team& team, double seconds) {
#if defined(STEMMA_HAS_DOT)
  if (isa() == Isa::kAvx512Bf16 || isa() == Isa::kAmx) return best_rate(team, seconds, bf16_chains);
#endif
  return fma_peak(team, seconds);
}

double int8_peak(Team& team, double seconds) {
#if defined(STEMMA_HAS_DOT)
  if (isa() == Isa::kAvx512Bf16 || isa() == Isa::kAmx) return best_rate(team, seconds, int8_chains);
#endif
  return best_rate(team, seconds, STEMMA_AT_LEVEL(pair_chains));
}

double tile_bf16_peak(Team& team, double seconds) {
#if defined(__x86_64__)
  if (isa() == Isa::kAmx) return best_rate(team, seconds, tile_products<true>);
#endif
  return 0 * seconds;
}

double tile_int8_peak(Team& team, double seconds) {
#if defined(__x86_64__)
  if (isa() == Isa::kAmx) return best_rate(team, seconds, tile_products<false>);
#endif
  return 0 * seconds;
}

}  // namespace stemma
#endif
