#include "bench/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "bench/memory.h"
#include "simd/probe.h"

namespace stemma::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kTurn = 0.3, kProbe = 0.05;  // seconds

double since(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

// Seconds of the median call over about `budget` seconds. Calls too short for the clock are timed
// in groups.
double median_call(const Job& job, double budget) {
  constexpr double kShortest = 50e-6;
  int64_t group = 1;
  std::vector<double> times;
  const auto begin = Clock::now();
  do {
    const auto start = Clock::now();
    for (int64_t i = 0; i < group; ++i) job.call();
    const double time = since(start);
    if (time < kShortest && times.empty())
      group *= 2;
    else
      times.push_back(time / static_cast<double>(group));
  } while (times.empty() || since(begin) < budget);
  return quantile(times, 0.5);
}

struct Rates {
  double compute = 0, memory = 0;  // operations and bytes a second
};

Rates probe(Ctx& c, Math math, const Job& job) {
  Rates rates;
  if (job.operations > 0) rates.compute = compute_peak(c, math, kProbe);
  if (job.bytes > 0) rates.memory = memory_read_peak(*c.team, kProbe);
  return rates;
}

// The least time of one call between two probes.
double least_time(const Job& job, const Rates& before, const Rates& after) {
  const double compute = (before.compute + after.compute) / 2;
  const double memory = (before.memory + after.memory) / 2;
  return std::max(job.operations > 0 ? job.operations / compute : 0,
                  job.bytes > 0 ? job.bytes / memory : 0);
}

}  // namespace

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (at - std::floor(at)) * (values[high] - values[low]);
}

double compute_peak(Ctx& c, Math math, double seconds) {
  const bool tiles = isa() == Isa::kAmx;
  switch (math) {
    case Math::bf16:
      return (tiles ? tile_bf16_peak : bf16_peak)(*c.team, seconds);
    case Math::int8:
      return (tiles ? tile_int8_peak : int8_peak)(*c.team, seconds);
    case Math::f32:
      break;
  }
  return fma_peak(*c.team, seconds);
}

Row measure(Ctx& c, const Item& item, double seconds) {
  Row row{.work = item.work,
          .shape = item.shape,
          .dtype = item.dtype,
          .level = isa_name(isa()),
          .unit = item.unit,
          .threads = c.team->size(),
          .not_run = item.not_run};
  if (!row.not_run.empty()) return row;
  const int turns = std::max(3, static_cast<int>(std::lround(seconds / kTurn)));
  const double turn_seconds = std::max(seconds, 0.0) / turns;
  const double scale = item.unit.starts_with('G') ? 1e9 : 1;
  std::vector<double> values, ceilings, shares;
  const MemoryMark mark;
  if (item.probe) {
    for (int turn = 0; turn < turns; ++turn) values.push_back(item.probe(c, turn_seconds) / scale);
    ceilings.push_back(*std::max_element(values.begin(), values.end()));
    for (double value : values) shares.push_back(value / ceilings[0]);
  } else {
    const Job job = item.prepare(c);
    job.call();  // packs, pools and caches are filled
    Rates before = probe(c, item.math, job);
    for (int turn = 0; turn < turns; ++turn) {
      const double time = median_call(job, turn_seconds);
      const Rates after = probe(c, item.math, job);
      const double least = least_time(job, before, after);
      before = after;
      values.push_back(job.amount / time / scale);
      ceilings.push_back(job.amount / least / scale);
      shares.push_back(least / time);
    }
  }
  row.turns = turns;
  row.value = quantile(values, 0.5);
  row.ceiling = quantile(ceilings, 0.5);
  row.share = quantile(shares, 0.5);
  row.spread = (quantile(shares, 0.75) - quantile(shares, 0.25)) / row.share;
  row.memory = mark.peak();
  return row;
}

}  // namespace stemma::bench
