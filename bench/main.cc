// stemma_bench: what share of the machine's rates the kernels reach.
// Usage: stemma_bench [--gemm | --attention] [threads...]     (default: both, on 1 and 2 threads)
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "bench.h"
#include "simd/isa.h"
#include "simd/probe.h"

namespace stemma::bench {

void report(Ctx& c, const std::string& what, double operations, const std::function<void()>& f) {
  const double before = fma_peak(*c.team, 0.1);
  const double rate = operations / best_time(0.15, f);
  const double peak = (before + fma_peak(*c.team, 0.1)) / 2;
  std::printf("%d threads  %-48s %7.1f GFLOP/s  %4.2f of %.0f\n", c.team->size(), what.c_str(),
              rate * 1e-9, rate / peak, peak * 1e-9);
  std::fflush(stdout);
}

}  // namespace stemma::bench

int main(int argc, char** argv) {
  using namespace stemma;
  std::vector<int> counts;
  bool gemm = true, attention = true;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (arg == "--gemm")
      attention = false;
    else if (arg == "--attention")
      gemm = false;
    else
      counts.push_back(std::atoi(argv[i]));
  }
  if (counts.empty()) counts = {1, 2};
  std::printf("level %s\n", isa_name(isa()));
  for (int threads : counts) {
    Team team(threads);
    Pool pool;
    Ctx c{.team = &team, .pool = &pool};
    if (gemm) bench::gemm(c);
    if (attention) bench::attention(c);
  }
}
