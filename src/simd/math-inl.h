// Vector mathematics for kernel files (simd/highway.h): fused multiply-add, exp, log, tanh,
// sigmoid, erf, whole and partial loads, and sums in sixteen lanes. Every level gives the same
// bits. Largest errors over all floats, in units of the last place: exp 1, log 1, tanh 1.5, sigmoid
// 2, erf 1.5; special values as in <cmath> (exp of less than -103.97 is 0, subnormals included).
// Sources: range reduction after Cody and Waite; the polynomials are minimax fits (Remez) of our
// own, each against the relative error of its function.

// As in Highway's *-inl.h files: once per level, so the guard toggles.
#if defined(STEMMA_SIMD_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef STEMMA_SIMD_MATH_INL_H_
#undef STEMMA_SIMD_MATH_INL_H_
#else
#define STEMMA_SIMD_MATH_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {

// a * b + c and c - a * b, rounded once.
template <class V>
HWY_INLINE V vfma(V a, V b, V c) {
#if HWY_TARGET == HWY_SCALAR
  return V(std::fma(a.raw, b.raw, c.raw));
#else
  return hwy::HWY_NAMESPACE::MulAdd(a, b, c);
#endif
}
template <class V>
HWY_INLINE V vfnma(V a, V b, V c) {
#if HWY_TARGET == HWY_SCALAR
  return V(std::fma(-a.raw, b.raw, c.raw));
#else
  return hwy::HWY_NAMESPACE::NegMulAdd(a, b, c);
#endif
}

// The first n lanes of memory, the others zero; memory beyond n is not touched. n may exceed the
// number of lanes: then it is a whole load or store.
template <class D, class T = hwy::HWY_NAMESPACE::TFromD<D>>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> load_n(D d, const T* p, int64_t n) {
  namespace hn = hwy::HWY_NAMESPACE;
  if (n >= static_cast<int64_t>(hn::Lanes(d))) return hn::LoadU(d, p);
#if HWY_TARGET == HWY_SCALAR
  return hn::Zero(d);  // there MaskedLoad reads memory whatever the mask
#else
  return hn::MaskedLoad(hn::FirstN(d, static_cast<size_t>(n)), d, p);
#endif
}
template <class D, class T = hwy::HWY_NAMESPACE::TFromD<D>>
HWY_INLINE void store_n(D d, hwy::HWY_NAMESPACE::Vec<D> v, T* p, int64_t n) {
  namespace hn = hwy::HWY_NAMESPACE;
  if (n >= static_cast<int64_t>(hn::Lanes(d)))
    hn::StoreU(v, d, p);
  else
    hn::BlendedStore(v, hn::FirstN(d, static_cast<size_t>(n)), d, p);
}

// The sum of n terms in sixteen running sums, added as a tree (i and i + 8, then + 4, + 2, + 1):
// the same at every level. term(i, m) returns the terms i, i+1, ... in lanes, of which m (or all)
// count; lanes beyond m must be zero, as load_n leaves them. A lambda needs HWY_ATTR before its
// brace.
template <class D, class F>
HWY_INLINE float sum16(D d, int64_t n, F term) {
  namespace hn = hwy::HWY_NAMESPACE;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(D()));
  constexpr int64_t kParts = 16 / kLanes;
  hn::Vec<D> acc[kParts];
  for (auto& a : acc) a = hn::Zero(d);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int64_t p = 0; p < kParts; ++p) acc[p] = hn::Add(acc[p], term(i + p * kLanes, kLanes));
  for (int64_t p = 0; p < kParts && i < n; ++p, i += kLanes)
    acc[p] = hn::Add(acc[p], term(i, n - i));
#if HWY_TARGET == HWY_SCALAR
  for (int64_t width = 8; width > 0; width /= 2)
    for (int64_t p = 0; p < width; ++p) acc[p] = hn::Add(acc[p], acc[p + width]);
  return hn::GetLane(acc[0]);
#else
  const hn::CappedTag<float, 8> d8;
  const hn::CappedTag<float, 4> d4;
#if HWY_TARGET == HWY_AVX3
  const auto eight = hn::Add(hn::LowerHalf(d8, acc[0]), hn::UpperHalf(d8, acc[0]));
#else
  const auto eight = hn::Add(acc[0], acc[1]);
#endif
  const auto four = hn::Add(hn::LowerHalf(d4, eight), hn::UpperHalf(d4, eight));
  const auto two = hn::Add(four, hn::Shuffle1032(four));
  return hn::GetLane(hn::Add(two, hn::Shuffle2301(two)));
#endif
}

// c[0] + c[1] x + ... + c[n-1] x^(n-1), by Horner's rule.
template <class D, class V, size_t n>
HWY_INLINE V vpoly(D d, V x, const float (&c)[n]) {
  namespace hn = hwy::HWY_NAMESPACE;
  V y = hn::Set(d, c[n - 1]);
  for (size_t i = n - 1; i-- > 0;) y = vfma(y, x, hn::Set(d, c[i]));
  return y;
}

// exp(r) for x = k ln 2 + r, |r| <= ln(2)/2; sets k, as a float and with its bits in the low end.
template <class D, class V>
HWY_INLINE V exp_reduced(D d, V x, V& shifted) {
  namespace hn = hwy::HWY_NAMESPACE;
  // Adding 1.5 * 2^23 rounds to the nearest integer, which then stands in the low bits.
  const auto shift = hn::Set(d, 12582912.0f);
  shifted = vfma(x, hn::Set(d, 1.44269504f), shift);
  const auto k = hn::Sub(shifted, shift);
  auto r = vfnma(k, hn::Set(d, 0.693147182f), x);
  r = vfnma(k, hn::Set(d, -1.90465430e-9f), r);
  constexpr float kC[] = {5.000000096e-01f, 1.666651831e-01f, 4.166620414e-02f, 8.368953447e-03f,
                          1.395060209e-03f};
  return hn::Add(vfma(vpoly(d, r, kC), hn::Mul(r, r), r), hn::Set(d, 1.0f));
}

// exp(x); 2^k in two steps, so that k = -149..128 all work.
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V vexp(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToSigned<D> di;
  V shifted;
  const V y = exp_reduced(d, hn::Min(hn::Max(x, hn::Set(d, -104.0f)), hn::Set(d, 89.0f)), shifted);
  const auto ki = hn::Sub(hn::BitCast(di, shifted), hn::Set(di, 0x4B400000));
  const auto half = hn::ShiftRight<1>(ki);
  const auto bias = hn::Set(di, 127);
  const auto pow1 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, bias)));
  const auto pow2 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(ki, half), bias)));
  const auto result = hn::Mul(hn::Mul(y, pow1), pow2);
  return hn::IfThenElse(hn::Eq(x, x), result, x);  // NaN stays NaN at every level
}

// exp(x) for x <= 88, as a softmax needs it: 0 from -87 down.
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V vexp_softmax(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToSigned<D> di;
  V shifted;
  const V y = exp_reduced(d, x, shifted);
  // k is added to the exponent of y, which lies in [0.7, 1.5).
  const auto scaled = hn::Add(hn::BitCast(di, y), hn::ShiftLeft<23>(hn::BitCast(di, shifted)));
  return hn::IfThenZeroElse(hn::Le(x, hn::Set(d, -87.0f)), hn::BitCast(d, scaled));
}

// log(x): x = 2^k m with m in [sqrt(1/2), sqrt(2)).
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V vlog(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToSigned<D> di;
  const auto zero = hn::Zero(d);
  const auto subnormal = hn::Lt(x, hn::Set(d, 1.17549435e-38f));
  const auto scaled = hn::IfThenElse(subnormal, hn::Mul(x, hn::Set(d, 8388608.0f)), x);
  const auto bits = hn::BitCast(di, scaled);
  // The exponent of m lies in [sqrt(1/2), sqrt(2)) after taking off sqrt(1/2)'s bits.
  const auto k = hn::ShiftRight<23>(hn::Sub(bits, hn::Set(di, 0x3F3504F3)));
  const auto m = hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<23>(k)));
  auto kf = hn::ConvertTo(d, k);
  kf = hn::IfThenElse(subnormal, hn::Sub(kf, hn::Set(d, 23.0f)), kf);
  const auto f = hn::Sub(m, hn::Set(d, 1.0f));
  constexpr float kC[] = {3.333331260e-01f,  -2.500000960e-01f, 2.000211866e-01f,
                          -1.666799584e-01f, 1.421955242e-01f,  -1.240558915e-01f,
                          1.188816206e-01f,  -1.167565031e-01f, 6.746639084e-02f};
  const auto f2 = hn::Mul(f, f);
  auto y = hn::Mul(hn::Mul(vpoly(d, f, kC), f), f2);
  y = vfma(kf, hn::Set(d, -1.90465430e-9f), y);
  y = vfma(hn::Set(d, -0.5f), f2, y);
  y = hn::Add(y, f);
  y = vfma(kf, hn::Set(d, 0.693147182f), y);
  const auto inf = hn::Set(d, HUGE_VALF);
  y = hn::IfThenElse(hn::Lt(x, inf), y, x);  // +inf and NaN stay
  y = hn::IfThenElse(hn::Eq(x, zero), hn::Neg(inf), y);
  return hn::IfThenElse(hn::Lt(x, zero), hn::Set(d, NAN), y);
}

// tanh(x): an odd polynomial near zero, 1 - 2 / (exp(2|x|) + 1) elsewhere.
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V vtanh(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const auto one = hn::Set(d, 1.0f), two = hn::Set(d, 2.0f);
  const auto a = hn::Abs(x);
  constexpr float kC[] = {-3.333327844e-01f, 1.333133151e-01f, -5.372940133e-02f, 2.060247768e-02f,
                          -5.661242967e-03f};
  const auto s = hn::Mul(x, x);
  const auto near = vfma(hn::Mul(vpoly(d, s, kC), s), x, x);
  const auto e = vexp(d, hn::Add(a, a));
  const auto far = hn::Sub(one, hn::Div(two, hn::Add(e, one)));
  return hn::IfThenElse(hn::Lt(a, hn::Set(d, 0.63f)), near, hn::CopySign(far, x));
}

// 1 / (1 + exp(-x)), without overflow on either side.
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V vsigmoid(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const auto one = hn::Set(d, 1.0f);
  const auto e = vexp(d, hn::Neg(hn::Abs(x)));
  const auto top = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), e, one);
  return hn::Div(top, hn::Add(one, e));
}

// erf(x): x (1 + p(x^2)) up to 0.927, else 1 - exp(q(|x|)) with q a fit of log(erfc).
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V verf(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const auto a = hn::Abs(x);
  constexpr float kNear[] = {1.283791482e-01f,  -3.761248436e-01f, 1.128171689e-01f,
                             -2.676297005e-02f, 4.987776921e-03f,  -5.963093014e-04f};
  const auto near = vfma(vpoly(d, hn::Mul(x, x), kNear), x, x);
  constexpr float kFar[] = {-2.070169585e-04f, -1.276273625e-01f, -6.372658226e-01f,
                            -1.038563066e-01f, 2.218974074e-02f,  -3.033682424e-03f,
                            1.949456314e-04f};
  // Past 4, 1 - erf is below half a unit in the last place of 1. NaN survives in `near`.
  const auto t = hn::Min(a, hn::Set(d, 4.0f));
  const auto far = hn::Sub(hn::Set(d, 1.0f), vexp(d, hn::Sub(vpoly(d, t, kFar), t)));
  const auto y = hn::IfThenElse(hn::Lt(a, hn::Set(d, 0.927f)), near, hn::CopySign(far, x));
  return hn::IfThenElse(hn::Eq(x, x), y, x);
}

}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#endif  // toggle
