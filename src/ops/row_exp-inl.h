// The two passes that softmax and cross-entropy share: a row's maximum, and its sum of exponentials
// relative to that, for kernels.

// Once per level, so the guard toggles (simd/math-inl.h).
#if defined(STEMMA_OPS_ROW_EXP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef STEMMA_OPS_ROW_EXP_INL_H_
#undef STEMMA_OPS_ROW_EXP_INL_H_
#else
#define STEMMA_OPS_ROW_EXP_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {

// The greatest of n >= 1 numbers.
HWY_INLINE float row_max(const float* x, int64_t n) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto best = hn::Set(d, x[0]);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) best = hn::Max(best, hn::LoadU(d, x + i));
  float most = hn::GetLane(hn::MaxOfLanes(d, best));
  for (; i < n; ++i) most = x[i] > most ? x[i] : most;
  return most;
}

// The sum of exp(x - top); each term also goes to y, which may be null.
HWY_INLINE float sum_exp(const float* x, float top, int64_t n, float* y) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto vtop = hn::Set(d, top);
  return sum16(d, n, [&](int64_t i, int64_t m) HWY_ATTR {
    auto e = vexp(d, hn::Sub(load_n(d, x + i, m), vtop));
    if (m < lanes) e = hn::IfThenElseZero(hn::FirstN(d, static_cast<size_t>(m)), e);
    if (y) store_n(d, e, y + i, m);
    return e;
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#endif  // toggle
