// Isa: the CPU level that kernels run at, chosen once at run time: the best that both this build
// and this CPU have, capped by the environment variable STEMMA_ISA (a name of isa_name).
// The vector levels are compiled side by side in every kernel file (simd/highway.h); no compiler
// flag is involved, and every one of them gives the same bits. The levels above them add dot
// products (simd/dot.h) and tiles (simd/tile.h), which the matrix product and attention use; all
// other kernels run at the vector level below. Errors: an unknown STEMMA_ISA.
// Thread safety: all functions; change the level only while no kernel runs.
#pragma once

#include <algorithm>
#include <atomic>
#include <vector>

namespace stemma {

enum class Isa {
  kScalar,
  kAvx2,
  kAvx512,
  kAvx512Bf16,   // with the dot products of AVX512_BF16 and AVX512_VNNI
  kAmx,          // with tiles of bf16 and int8
  kAmxEmulated,  // the code for tiles on a scalar emulator, on the best vector level: for tests
};

const char* isa_name(Isa isa);
// Levels that this build and this CPU have, from scalar up; the environment does not cap these.
// The vector levels: what most kernels know.
const std::vector<Isa>& available_isas();
// All of them: what kernels with dot products and tiles know.
const std::vector<Isa>& available_dot_isas();

namespace internal {
extern std::atomic<int> current_isa;  // -1: not chosen yet
int choose_isa();
}  // namespace internal

// The level that kernels run at.
inline Isa isa() {
  const int level = internal::current_isa.load(std::memory_order_relaxed);
  return static_cast<Isa>(level >= 0 ? level : internal::choose_isa());
}
// The vector level at or below it.
inline Isa vector_isa() { return std::min(isa(), available_isas().back()); }
// Whether matrix products of bf16 and int8 are made of tiles.
inline bool uses_tiles() { return isa() >= Isa::kAmx; }

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
