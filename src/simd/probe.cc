#include "simd/probe.h"

#include <algorithm>
#include <chrono>
#include <vector>

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

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {

STEMMA_LEVELS(fma_chains);

double fma_peak(Team& team, double seconds) {
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
      const double operations = STEMMA_AT_LEVEL(fma_chains)(kRounds, &turn.sink);
      turn.rate = std::max(turn.rate, operations / since(start));
    });
  } while (since(begin) < seconds);
  double sum = 0;
  for (const Turn& turn : turns) sum += turn.rate;
  return sum;
}

}  // namespace stemma
#endif
