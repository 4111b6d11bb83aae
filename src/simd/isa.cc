#include "simd/isa.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/error.h"

namespace stemma {
namespace {

constexpr const char* kNames[] = {"scalar", "avx2", "avx512", "avx512_bf16", "amx", "amx-emulated"};

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

// Linux gives a process its tiles only after it has asked for them; threads inherit the permission.
[[maybe_unused]] bool tiles_permitted() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

std::vector<Isa> detect_dot() {
  std::vector<Isa> found = available_isas();
#if defined(__x86_64__) && !defined(STEMMA_MAX_ISA_AVX2) && !defined(STEMMA_MAX_ISA_AVX512)
  unsigned a = 0, b = 0, c = 0, d = 0, a1 = 0, b1 = 0, c1 = 0, d1 = 0;
  const bool known =
      __get_cpuid_count(7, 0, &a, &b, &c, &d) && __get_cpuid_count(7, 1, &a1, &b1, &c1, &d1);
  const bool vnni = known && (c >> 11 & 1), bf16 = known && (a1 >> 5 & 1);
  if (found.back() == Isa::kAvx512 && vnni && bf16) {
    found.push_back(Isa::kAvx512Bf16);
    constexpr unsigned kTiles = 1u << 22 | 1u << 24 | 1u << 25;  // amx_bf16, amx_tile, amx_int8
    if ((d & kTiles) == kTiles && tiles_permitted()) found.push_back(Isa::kAmx);
  }
#endif
  found.push_back(Isa::kAmxEmulated);
  return found;
}

// The best level at or below `most` that is there.
Isa best(Isa most) {
  Isa level = Isa::kScalar;
  for (Isa l : available_dot_isas())
    if (l <= most) level = l;
  return level;
}

Isa from_environment() {
  const char* text = std::getenv("STEMMA_ISA");
  if (text == nullptr || *text == '\0') return best(Isa::kAmx);
  std::string known;
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (text == std::string(kNames[i])) return best(static_cast<Isa>(i));
    known += cat(i == 0 ? "" : i + 1 == std::size(kNames) ? " or " : ", ", kNames[i]);
  }
  fail(Code::kUsage, "[isa] STEMMA_ISA is '", text, "'; it may be ", known);
}

}  // namespace

const char* isa_name(Isa isa) { return kNames[static_cast<int>(isa)]; }

const std::vector<Isa>& available_isas() {
  static const std::vector<Isa> found = detect();
  return found;
}

const std::vector<Isa>& available_dot_isas() {
  static const std::vector<Isa> found = detect_dot();
  return found;
}

namespace internal {

std::atomic<int> current_isa{-1};

int choose_isa() {
  const int level = static_cast<int>(from_environment());
  current_isa.store(level, std::memory_order_relaxed);
  return level;
}

}  // namespace internal

ScopedIsa::ScopedIsa(Isa level) : before_(isa()) {
  const auto& levels = available_dot_isas();
  check(std::find(levels.begin(), levels.end(), level) != levels.end(), "[isa] level ",
        isa_name(level), " is not available here; the best is ", isa_name(best(Isa::kAmx)));
  internal::current_isa.store(static_cast<int>(level), std::memory_order_relaxed);
}

ScopedIsa::~ScopedIsa() {
  internal::current_isa.store(static_cast<int>(before_), std::memory_order_relaxed);
}

}  // namespace stemma
