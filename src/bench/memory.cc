#include "bench/memory.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <vector>

#include "bench/measure.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/memory.cc"
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

STEMMA_LEVELS(read_all);

double memory_read_peak(Team& team, double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t kPiece = 1 << 20;  // floats
  static const std::vector<float> memory(static_cast<size_t>(beyond_cache() / 4), 0.5f);
  const int64_t pieces = static_cast<int64_t>(memory.size()) / kPiece;
  // Probes go on where the last one ended: what was read lately may still be in a cache.
  static std::atomic<int64_t> next = 0;
  struct alignas(64) Reader {
    std::vector<double> times;
    float sink = 0;
  };
  std::vector<Reader> readers(static_cast<size_t>(team.size()));
  const auto begin = Clock::now();
  team.run(team.size(), [&](int64_t i) {
    Reader& reader = readers[static_cast<size_t>(i)];
    for (auto start = begin;
         reader.times.empty() || std::chrono::duration<double>(start - begin).count() < seconds;) {
      const float* piece = memory.data() + next++ % pieces * kPiece;
      const auto from = Clock::now();
      reader.sink += STEMMA_AT_LEVEL(read_all)(piece, kPiece);
      start = Clock::now();
      reader.times.push_back(std::chrono::duration<double>(start - from).count());
    }
  });
  double sum = 0;
  for (const Reader& reader : readers) sum += kPiece * 4 / quantile(reader.times, 0.5);
  return sum;
}

int64_t beyond_cache() {
  constexpr int64_t kLeast = int64_t{256} << 20;
  const int64_t cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
  return std::max(kLeast, cache + cache / 4);
}

namespace {

// A line of /proc/self/status, in bytes.
double status_bytes(const std::string& name) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(name + ":")) return 1024 * std::stod(line.substr(name.size() + 1));
  return 0;
}

}  // namespace

MemoryMark::MemoryMark() { std::ofstream("/proc/self/clear_refs") << "5"; }  // forgets the peak
double MemoryMark::peak() const { return status_bytes("VmHWM"); }

}  // namespace stemma::bench
#endif
