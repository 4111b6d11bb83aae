// Measurement: what share of the machine's own rates a piece of work reaches.
// Absolute figures of a shared machine mean little, so work and probe take turns of a fraction of a
// second, on the same threads: probe, work, probe, work, ..., probe. A turn's rate is that of its
// median call; its ceiling is the roofline min(compute, bytes / bandwidth) of the probes just
// before and just after. A row holds the medians over its turns; `spread` is the distance between
// the quartiles of the share, over its median.
// Thread safety: one thread measures.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "simd/isa.h"
#include "tensor/ctx.h"

namespace stemma::bench {

// The unit that does the products: what a compute ceiling is the ceiling of. bf16 without a bf16
// dot is measured against f32's.
enum class Math { f32, bf16, int8 };

// Operations a second that `math` reaches at the current level, on all threads; takes `seconds`.
double compute_peak(Ctx& c, Math math, double seconds);

// Something that can be called again and again, and what one call must do at the least.
struct Job {
  std::function<void()> call = {};
  double amount = 0;      // of the row's unit
  double operations = 0;  // floating-point or integer
  double bytes = 0;       // that must come from memory; 0 where operands stay in cache
};

// A row to be. Nothing is allocated before prepare().
struct Item {
  std::string work, shape, dtype, unit;  // of amounts a second; GFLOP/s, GB/s: in 10^9
  Math math = Math::f32;
  std::function<Job(Ctx&)> prepare = {};
  // Instead of a job: a probe, which is its own ceiling (the best turn), given the seconds it
  // takes.
  std::function<double(Ctx&, double)> probe = {};
  std::string not_run = {};  // why it cannot run here; then there is neither
};

struct Row {
  std::string work, shape, dtype, level, unit;
  int threads = 0;
  double value = 0, ceiling = 0, share = 0, spread = 0;
  int turns = 0;
  double memory = 0;         // the most bytes the process held meanwhile; 0: unknown
  std::string not_run = {};  // why there are no figures
};

// At the current level, on c's team, for about `seconds` of work.
Row measure(Ctx& c, const Item& item, double seconds);

// The median of `values`, which are not empty; quartile(v, 0.25) and (v, 0.75) are the quartiles.
double quantile(std::vector<double> values, double q);

}  // namespace stemma::bench
