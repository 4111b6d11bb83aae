// gemm: shares of the FMA peak over the shapes of small encoders and decoders, and few rows against
// weights that come from memory, as shares of the rate at which memory can be read.
#include "gemm/gemm.h"

#include <cstdio>
#include <vector>

#include "base/error.h"
#include "bench.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "gemm.cc"
#include "simd/highway.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

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
namespace stemma::bench {
namespace {

STEMMA_LEVELS(read_all);

double memory_rate(Ctx& c, const std::vector<float>& memory) {
  const int64_t n = static_cast<int64_t>(memory.size()), piece = 1 << 18;
  std::vector<float> sink(static_cast<size_t>(n / piece));
  const double t = best_time(0.1, [&] {
    c.team->run(n / piece, [&](int64_t i) {
      sink[i] = STEMMA_AT_LEVEL(read_all)(memory.data() + i * piece, piece);
    });
  });
  return static_cast<double>(n) * 4 / t;
}

enum Use { kForward, kInput, kWeight };

void measure(Ctx& c, Use use, bool packed, int64_t m, int64_t k, int64_t n) {
  std::vector<float> x(m * k, 0.5f), w(n * k, 0.25f), y(m * n, 0.125f);
  const char* name[] = {"Y = X W^T", "dX = dY W", "dW = dY^T X"};
  Panels panels;
  if (packed && use == kForward) panels = pack_panels(c, {w.data(), k, true}, k, n);
  if (packed && use == kInput) panels = pack_panels(c, {w.data(), k}, n, k);
  const double operations =
      2 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  report(c, cat(name[use], packed ? ", packed" : "", ": M ", m, ", K ", k, ", N ", n), operations,
         [&] {
           if (use == kForward && packed)
             gemm(c, m, {x.data(), k}, panels, {}, y.data(), n);
           else if (use == kForward)
             gemm(c, m, n, k, {x.data(), k}, {w.data(), k, true}, {}, y.data(), n);
           else if (use == kInput && packed)
             gemm(c, m, {y.data(), n}, panels, {}, x.data(), k);
           else if (use == kInput)
             gemm(c, m, k, n, {y.data(), n}, {w.data(), k}, {}, x.data(), k);
           else
             gemm(c, n, k, m, {y.data(), n, true}, {x.data(), k}, {}, w.data(), k);
         });
}

void measure_few_rows(Ctx& c, bool packed, int64_t m, const std::vector<float>& memory) {
  const int64_t k = 2048, n = 2048, count = static_cast<int64_t>(memory.size()) / (k * n);
  std::vector<float> x(m * k, 0.5f), y(m * n);
  std::vector<Panels> panels;
  for (int64_t i = 0; packed && i < count; ++i)
    panels.push_back(pack_panels(c, {memory.data() + i * k * n, k, true}, k, n));
  const double before = memory_rate(c, memory);
  const double t = best_time(0.3, [&] {
    for (int64_t i = 0; i < count; ++i) {
      if (packed)
        gemm(c, m, {x.data(), k}, panels[i], {}, y.data(), n);
      else
        gemm(c, m, n, k, {x.data(), k}, {memory.data() + i * k * n, k, true}, {}, y.data(), n);
    }
  });
  const double peak = (before + memory_rate(c, memory)) / 2;
  const double rate = 4 * static_cast<double>(count * k * n) / t;
  std::printf("%d threads  Y = X W^T%s: M %ld, weights from memory  %5.1f GB/s  %4.2f of %.1f\n",
              c.team->size(), packed ? ", packed" : "", static_cast<long>(m), rate * 1e-9,
              rate / peak, peak * 1e-9);
  std::fflush(stdout);
}

}  // namespace

void gemm(Ctx& c) {
  for (int64_t k : {384, 768, 1536, 3072})
    for (int64_t n : {384, 768, 1536, 3072}) measure(c, kForward, true, 512, k, n);
  for (int64_t m : {8, 32, 128, 4096}) measure(c, kForward, true, m, 768, 768);
  measure(c, kForward, false, 512, 768, 3072);
  measure(c, kInput, true, 512, 768, 3072);
  measure(c, kInput, false, 512, 768, 3072);
  measure(c, kWeight, false, 512, 768, 3072);
  measure(c, kWeight, false, 4096, 768, 768);
  const std::vector<float> memory(size_t{192} << 20, 0.5f);
  for (bool packed : {true, false})
    for (int64_t m : {1, 4}) measure_few_rows(c, packed, m, memory);
}

}  // namespace stemma::bench
#endif
