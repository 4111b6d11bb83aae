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

Measurement::Measurement(Ctx& c, const Item& item)
    : c_(c), item_(item), scale_(item.unit.starts_with('G') ? 1e9 : 1) {
  if (item_.probe) return;
  job_ = item_.prepare(c_);
  job_.call();
  before_ = probe();
}

Measurement::Rates Measurement::probe() {
  Rates rates;
  if (job_.operations > 0) rates.compute = compute_peak(c_, item_.math, kProbe);
  if (job_.bytes > 0) rates.memory = memory_read_peak(*c_.team, kProbe);
  return rates;
}

// Of one call between two probes.
double Measurement::least_time(const Rates& after) const {
  const double compute = (before_.compute + after.compute) / 2;
  const double memory = (before_.memory + after.memory) / 2;
  return std::max(job_.operations > 0 ? job_.operations / compute : 0,
                  job_.bytes > 0 ? job_.bytes / memory : 0);
}

void Measurement::turn(double seconds) {
  if (item_.probe) {
    values_.push_back(item_.probe(c_, seconds));
    return;
  }
  const double time = median_call(job_, seconds);
  const Rates after = probe();
  const double least = least_time(after);
  before_ = after;
  values_.push_back(job_.amount / time);
  ceilings_.push_back(job_.amount / least);
  shares_.push_back(least / time);
}

Row Measurement::row() const {
  if (!item_.probe) return row_of(values_, ceilings_, shares_);
  const double best = *std::max_element(values_.begin(), values_.end());
  std::vector<double> shares;
  for (const double value : values_) shares.push_back(value / best);
  return row_of(values_, {best}, shares);
}

Row Measurement::last() const {
  if (item_.probe) return row_of({values_.back()}, {values_.back()}, {1});
  return row_of({values_.back()}, {ceilings_.back()}, {shares_.back()});
}

Row Measurement::row_of(std::vector<double> values, std::vector<double> ceilings,
                        std::vector<double> shares) const {
  Row row = empty_row(c_, item_);
  row.turns = static_cast<int>(values.size());
  row.value = quantile(std::move(values), 0.5) / scale_;
  row.ceiling = quantile(std::move(ceilings), 0.5) / scale_;
  row.share = quantile(shares, 0.5);
  row.spread = (quantile(shares, 0.75) - quantile(shares, 0.25)) / row.share;
  row.memory = mark_.peak();
  return row;
}

Row empty_row(Ctx& c, const Item& item) {
  return {.work = item.work,
          .shape = item.shape,
          .dtype = item.dtype,
          .level = isa_name(isa()),
          .unit = item.unit,
          .threads = c.team->size(),
          .not_run = item.not_run};
}

Row measure(Ctx& c, const Item& item, double seconds) {
  if (!item.not_run.empty()) return empty_row(c, item);
  Measurement measurement(c, item);
  const int turns = std::max(3, static_cast<int>(std::lround(seconds / kTurn)));
  for (int turn = 0; turn < turns; ++turn) measurement.turn(std::max(seconds, 0.0) / turns);
  return measurement.row();
}

}  // namespace stemma::bench
