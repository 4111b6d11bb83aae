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

#include "bench/memory.h"
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

// One row in the making: at the current level, on c's team.
class Measurement {
 public:
  // Prepares the work, and calls it once so that packings, pools and caches are filled. `item` must
  // be one that can run.
  Measurement(Ctx& c, const Item& item);
  // One turn: work for about `seconds`, then a probe.
  void turn(double seconds);
  // Medians over the turns so far, of which there is one at least.
  Row row() const;
  // The last turn alone.
  Row last() const;

 private:
  struct Rates {
    double compute = 0, memory = 0;  // operations and bytes a second
  };
  Rates probe();
  double least_time(const Rates& after) const;
  Row row_of(std::vector<double> values, std::vector<double> ceilings,
             std::vector<double> shares) const;

  Ctx& c_;
  const Item item_;
  const double scale_;
  MemoryMark mark_;
  Job job_;
  Rates before_;
  std::vector<double> values_, ceilings_, shares_;
};

// The row after turns of about `seconds` together, three at least; or what is known of an item that
// cannot run.
Row measure(Ctx& c, const Item& item, double seconds);
Row empty_row(Ctx& c, const Item& item);

// The median of `values`, which are not empty; quartile(v, 0.25) and (v, 0.75) are the quartiles.
double quantile(std::vector<double> values, double q);

}  // namespace stemma::bench
