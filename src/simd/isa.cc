#include "simd/isa.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "base/error.h"

namespace stemma {
namespace {

std::vector<Isa> detect() {
  std::vector<Isa> found{Isa::kScalar};
#if defined(__x86_64__)
  __builtin_cpu_init();
  // What Highway lets the compiler use at each level.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                    __builtin_cpu_supports("f16c") && __builtin_cpu_supports("pclmul") &&
                    __builtin_cpu_supports("aes");
  if (avx2) found.push_back(Isa::kAvx2);
#if !defined(STEMMA_MAX_ISA_AVX2)
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw");
  if (avx512) found.push_back(Isa::kAvx512);
#endif
#endif
  return found;
}

Isa cap_from_environment() {
  const char* text = std::getenv("STEMMA_ISA");
  if (text == nullptr || *text == '\0') return Isa::kAvx512;
  for (Isa level : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512})
    if (std::string_view(text) == isa_name(level)) return level;
  fail(Code::kUsage, "[isa] STEMMA_ISA is '", text, "'; it may be scalar, avx2 or avx512");
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "unknown";
}

const std::vector<Isa>& available_isas() {
  static const std::vector<Isa> found = detect();
  return found;
}

namespace internal {

std::atomic<int> current_isa{-1};

int choose_isa() {
  const int level = static_cast<int>(std::min(available_isas().back(), cap_from_environment()));
  current_isa.store(level, std::memory_order_relaxed);
  return level;
}

}  // namespace internal

ScopedIsa::ScopedIsa(Isa level) : before_(isa()) {
  const auto& levels = available_isas();
  check(std::find(levels.begin(), levels.end(), level) != levels.end(), "[isa] level ",
        isa_name(level), " is not available here; the best is ", isa_name(levels.back()));
  internal::current_isa.store(static_cast<int>(level), std::memory_order_relaxed);
}

ScopedIsa::~ScopedIsa() {
  internal::current_isa.store(static_cast<int>(before_), std::memory_order_relaxed);
}

}  // namespace stemma
