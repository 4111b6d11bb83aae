// Highway for kernel files: the file is compiled once per CPU level, each time inside that level's
// target region and namespace (N_SCALAR, N_AVX2, N_AVX3), and a table of the three picks one by
// isa() at run time. This header may be included only by .cc files, after every other header.
//
// How to write a kernel file, src/ops/scale.cc for one:
//
//   #include "ops/scale.h"                        // all other headers first: never inside a region
//
//   #undef HWY_TARGET_INCLUDE
//   #define HWY_TARGET_INCLUDE "ops/scale.cc"     // this very file, as seen from src/
//   #include "simd/highway.h"
//   #include "simd/math-inl.h"                    // vfma, vexp, ...: where needed
//
//   HWY_BEFORE_NAMESPACE();
//   namespace stemma {
//   namespace HWY_NAMESPACE {
//   namespace {                                   // keeps equal names of other files apart
//   namespace hn = hwy::HWY_NAMESPACE;
//
//   void scale_f32(const float* x, float a, float* y, int64_t n) {
//     const hn::ScalableTag<float> d;             // 1, 8 or 16 lanes
//     const int64_t lanes = hn::Lanes(d);
//     const auto va = hn::Set(d, a);
//     int64_t i = 0;
//     for (; i + lanes <= n; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, x + i), va), d, y + i);
//     if (i < n) store_n(d, hn::Mul(load_n(d, x + i, n - i), va), y + i, n - i);
//   }
//
//   }  // namespace
//   }  // namespace HWY_NAMESPACE
//   }  // namespace stemma
//   HWY_AFTER_NAMESPACE();
//
//   #if HWY_ONCE                                  // from here on: compiled once, plain code
//   namespace stemma {
//   STEMMA_LEVELS(scale_f32);                     // the table
//   void scale(...) { STEMMA_AT_LEVEL(scale_f32)(x, a, y, n); }
//   }  // namespace stemma
//   #endif
//
// Rules. Every level gives the same bits, so: a fused multiply-add is vfma (math-inl.h), never
// hn::MulAdd, which the scalar level does not fuse; no ApproximateReciprocal; and a sum does not
// depend on the number of lanes: sum16 (math-inl.h) keeps sixteen running sums at every level.
// Do not call Team::run or std:: templates with vectors inside a region; loops over threads belong
// below HWY_ONCE.

// No include guard for the file: Highway's own per-target part must be seen once per level.
#ifndef STEMMA_SIMD_HIGHWAY_H_
#define STEMMA_SIMD_HIGHWAY_H_

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "simd/isa.h"

// gcc 12 miscompiles Highway's EMU128, so the lowest level is SCALAR whatever the compiler.
#define HWY_BROKEN_EMU128 1
#define HWY_BASELINE_TARGETS HWY_SCALAR
#if defined(STEMMA_MAX_ISA_AVX2)
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3 | HWY_AVX3_DL)
#else
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#endif
#include <hwy/detect_targets.h>

#if (HWY_TARGETS & HWY_AVX3)
#define STEMMA_LEVELS(fn) \
  constexpr decltype(&N_SCALAR::fn) fn##_levels[] = {&N_SCALAR::fn, &N_AVX2::fn, &N_AVX3::fn}
#elif (HWY_TARGETS & HWY_AVX2)
#define STEMMA_LEVELS(fn) \
  constexpr decltype(&N_SCALAR::fn) fn##_levels[] = {&N_SCALAR::fn, &N_AVX2::fn}
#else
#define STEMMA_LEVELS(fn) constexpr decltype(&N_SCALAR::fn) fn##_levels[] = {&N_SCALAR::fn}
#endif
#define STEMMA_AT_LEVEL(fn) (*fn##_levels[static_cast<int>(::stemma::vector_isa())])

#endif  // STEMMA_SIMD_HIGHWAY_H_

// These two know by themselves which part to repeat. The first re-includes the kernel file.
// clang-format off
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>
// clang-format on
