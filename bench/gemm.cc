// stemma_bench: the machine's f32 FMA peak and memory rate, and what share of them gemm reaches.
// Probe and product take turns of a few tenths of a second on the same threads; a share is the
// product's best turn against the mean of the probes around it.
// Usage: stemma_bench [threads...]   (default: 1 2)
#include "gemm/gemm.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "simd/isa.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "gemm.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// `rounds` steps of twelve independent chains; returns the floating-point operations done.
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

float read_all(const float* p, int64_t n) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  V a = hn::Zero(d), b = a, e = a, f = a;
  for (int64_t i = 0; i + 4 * lanes <= n; i += 4 * lanes) {
    a = hn::Add(a, hn::LoadU(d, p + i));
    b = hn::Add(b, hn::LoadU(d, p + i + lanes));
    e = hn::Add(e, hn::LoadU(d, p + i + 2 * lanes));
    f = hn::Add(f, hn::LoadU(d, p + i + 3 * lanes));
  }
  return hn::GetLane(hn::Add(hn::Add(a, b), hn::Add(e, f)));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(fma_chains);
STEMMA_LEVELS(read_all);

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The best time of one call over `budget` seconds.
template <class F>
double best_time(double budget, F&& f) {
  f();
  double best = 1e9;
  const auto start = Clock::now();
  do {
    const auto begin = Clock::now();
    f();
    best = std::min(best, seconds_since(begin));
  } while (seconds_since(start) < budget);
  return best;
}

double probe_gflops(Ctx& c) {
  const int threads = c.team->size();
  double flops = 0;
  const double t = best_time(0.1, [&] {
    c.team->run(threads, [&](int64_t) {
      float sink;
      flops = STEMMA_AT_LEVEL(fma_chains)(100000, &sink);
    });
  });
  return flops * threads / t * 1e-9;
}

double probe_gbytes(Ctx& c, const std::vector<float>& memory) {
  const int64_t n = static_cast<int64_t>(memory.size()), piece = 1 << 18;
  std::vector<float> sink(static_cast<size_t>(n / piece));
  const double t = best_time(0.1, [&] {
    c.team->run(n / piece, [&](int64_t i) {
      sink[i] = STEMMA_AT_LEVEL(read_all)(memory.data() + i * piece, piece);
    });
  });
  return static_cast<double>(n) * 4 / t * 1e-9;
}

enum Use { kForward, kInput, kWeight };
const char* use_name(Use use) {
  return use == kForward ? "Y = X W^T" : use == kInput ? "dX = dY W" : "dW = dY^T X";
}

void measure(Ctx& c, Use use, bool packed, int64_t m, int64_t k, int64_t n) {
  std::vector<float> x(m * k, 0.5f), w(n * k, 0.25f), y(m * n, 0.125f);
  Panels panels;
  auto run = [&] {
    switch (use) {
      case kForward:
        if (packed)
          gemm(c, m, {x.data(), k}, panels, {}, y.data(), n);
        else
          gemm(c, m, n, k, {x.data(), k}, {w.data(), k, true}, {}, y.data(), n);
        break;
      case kInput:
        if (packed)
          gemm(c, m, {y.data(), n}, panels, {}, x.data(), k);
        else
          gemm(c, m, k, n, {y.data(), n}, {w.data(), k}, {}, x.data(), k);
        break;
      case kWeight:
        gemm(c, n, k, m, {y.data(), n, true}, {x.data(), k}, {}, w.data(), k);
        break;
    }
  };
  if (packed && use == kForward) panels = pack_panels(c, {w.data(), k, true}, k, n);
  if (packed && use == kInput) panels = pack_panels(c, {w.data(), k}, n, k);
  const double before = probe_gflops(c);
  const double t = best_time(0.15, run);
  const double peak = (before + probe_gflops(c)) / 2;
  const double gflops =
      2e-9 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) / t;
  std::printf("%d threads  %-12s %-6s M %5ld K %5ld N %5ld  %7.1f GFLOP/s  %4.2f of %.0f\n",
              c.team->size(), use_name(use), packed ? "packed" : "plain", m, k, n, gflops,
              gflops / peak, peak);
  std::fflush(stdout);
}

// One row against weights that exceed the caches.
void measure_row(Ctx& c, bool packed, int64_t m, const std::vector<float>& memory) {
  const int64_t k = 2048, n = 2048, count = static_cast<int64_t>(memory.size()) / (k * n);
  std::vector<float> x(m * k, 0.5f), y(m * n);
  std::vector<Panels> panels;
  for (int64_t i = 0; packed && i < count; ++i)
    panels.push_back(pack_panels(c, {memory.data() + i * k * n, k, true}, k, n));
  const double before = probe_gbytes(c, memory);
  const double t = best_time(0.3, [&] {
    for (int64_t i = 0; i < count; ++i) {
      if (packed)
        gemm(c, m, {x.data(), k}, panels[i], {}, y.data(), n);
      else
        gemm(c, m, n, k, {x.data(), k}, {memory.data() + i * k * n, k, true}, {}, y.data(), n);
    }
  });
  const double rate = (before + probe_gbytes(c, memory)) / 2;
  const double gbytes = 4e-9 * static_cast<double>(count * k * n) / t;
  std::printf(
      "%d threads  Y = X W^T    %-6s M %5ld, weights from memory  %5.1f GB/s  %4.2f of %.1f\n",
      c.team->size(), packed ? "packed" : "plain", m, gbytes, gbytes / rate, rate);
  std::fflush(stdout);
}

}  // namespace
}  // namespace stemma

int main(int argc, char** argv) {
  using namespace stemma;
  std::vector<int> counts;
  for (int i = 1; i < argc; ++i) counts.push_back(std::atoi(argv[i]));
  if (counts.empty()) counts = {1, 2};
  std::printf("level %s\n", isa_name(isa()));
  std::vector<float> memory(size_t{192} << 20, 0.5f);
  for (int threads : counts) {
    Team team(threads);
    Pool pool;
    Ctx c{.team = &team, .pool = &pool};
    const int64_t shapes[][2] = {{384, 384}, {384, 1536}, {1536, 384},
                                 {768, 768}, {768, 3072}, {3072, 768}};
    for (auto [k, n] : shapes) measure(c, kForward, true, 512, k, n);
    for (int64_t m : {8, 32, 128, 4096}) measure(c, kForward, true, m, 768, 768);
    measure(c, kForward, false, 512, 768, 3072);
    measure(c, kInput, true, 512, 768, 3072);
    measure(c, kInput, false, 512, 768, 3072);
    measure(c, kWeight, false, 512, 768, 3072);
    measure(c, kWeight, false, 4096, 768, 768);
    for (bool packed : {true, false})
      for (int64_t m : {1, 4}) measure_row(c, packed, m, memory);
  }
}
#endif
