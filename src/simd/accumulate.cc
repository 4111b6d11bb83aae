#include "simd/accumulate.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/accumulate.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

void accumulate_f32(float* sum, const float* x, int64_t n) {
  const hn::ScalableTag<float> d;
  for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d)))
    store_n(d, hn::Add(load_n(d, sum + i, n - i), load_n(d, x + i, n - i)), sum + i, n - i);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {

STEMMA_LEVELS(accumulate_f32);

void accumulate(float* sum, const float* x, int64_t n) {
  STEMMA_AT_LEVEL(accumulate_f32)(sum, x, n);
}

}  // namespace stemma
#endif
