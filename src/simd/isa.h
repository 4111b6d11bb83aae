// Isa: the CPU level that vector kernels run at, chosen once at run time: the best that both this
// build and this CPU have, capped by the environment variable STEMMA_ISA (scalar, avx2, avx512).
// Levels are compiled side by side in every kernel file (simd/highway.h); no compiler flag is
// involved. Every level gives the same bits. Errors: an unknown STEMMA_ISA.
// Thread safety: all functions; change the level only while no kernel runs.
#pragma once

#include <atomic>
#include <vector>

namespace stemma {

enum class Isa { kScalar, kAvx2, kAvx512 };

const char* isa_name(Isa isa);
// Levels that this build and this CPU have, from scalar up; the environment does not cap these.
const std::vector<Isa>& available_isas();

namespace internal {
extern std::atomic<int> current_isa;  // -1: not chosen yet
int choose_isa();
}  // namespace internal

// The level that kernels run at.
inline Isa isa() {
  const int level = internal::current_isa.load(std::memory_order_relaxed);
  return static_cast<Isa>(level >= 0 ? level : internal::choose_isa());
}

// Runs kernels at another available level for as long as it lives: for tests and measurements.
class ScopedIsa {
 public:
  explicit ScopedIsa(Isa level);
  ~ScopedIsa();
  ScopedIsa(const ScopedIsa&) = delete;
  ScopedIsa& operator=(const ScopedIsa&) = delete;

 private:
  Isa before_;
};

}  // namespace stemma
