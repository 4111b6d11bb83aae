#include "gemm/quantise.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "gemm/quantise.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"
// After the two above.
#include "gemm/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(D()));

void widen_row(const MatrixRef& a, int64_t begin, int64_t n, float* out) {
  rows::widen(a.data, a.dtype, begin, n, out);
}

float largest(const float* x, int64_t n) {
  const D d;
  auto most = hn::Zero(d), nothing = hn::Zero(d);  // the second NaN where x is not finite
  for (int64_t i = 0; i < n; i += kLanes) {
    const auto v = load_n(d, x + i, n - i);
    most = hn::Max(most, hn::Abs(v));
    nothing = hn::Add(nothing, hn::Mul(v, hn::Zero(d)));
  }
  float m[kLanes], z[kLanes];
  hn::StoreU(most, d, m), hn::StoreU(nothing, d, z);
  float result = 0;
  for (int64_t i = 0; i < kLanes; ++i) {
    if (z[i] != z[i]) return NAN;
    result = std::max(result, m[i]);
  }
  return result;
}

int32_t round_row(const float* x, int64_t n, float inverse, int offset, uint8_t* q) {
  const D d;
  const hn::RebindToSigned<D> di;
  const hn::Rebind<uint8_t, D> db;
  // Adding 1.5 * 2^23 rounds to the nearest integer, which then stands in the low bits.
  const auto shift = hn::Set(d, 12582912.0f), scale = hn::Set(d, inverse);
  const auto low = hn::Set(di, 0x4B400000), bias = hn::Set(di, offset), mask = hn::Set(di, 255);
  auto sum = hn::Zero(di);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto v = hn::Add(hn::Mul(hn::LoadU(d, x + i), scale), shift);
    const auto rounded = hn::Sub(hn::BitCast(di, v), low);
    sum = hn::Add(sum, rounded);
    hn::StoreU(hn::DemoteTo(db, hn::And(hn::Add(rounded, bias), mask)), db, q + i);
  }
  int32_t lanes[kLanes], total = 0;
  hn::StoreU(sum, di, lanes);
  for (int32_t lane : lanes) total += lane;
  for (; i < n; ++i) {
    const float v = x[i] * inverse + 12582912.0f;
    int32_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    total += bits - 0x4B400000;
    q[i] = static_cast<uint8_t>(bits - 0x4B400000 + offset);
  }
  return total;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {
STEMMA_LEVELS(widen_row);
STEMMA_LEVELS(largest);
STEMMA_LEVELS(round_row);
}  // namespace

namespace quantise {

void widen(const MatrixRef& a, int64_t begin, int64_t n, float* out) {
  STEMMA_AT_LEVEL(widen_row)(a, begin, n, out);
}

float scale_of(const float* x, int64_t n) { return STEMMA_AT_LEVEL(largest)(x, n) / 127; }

int32_t to_int8(const float* x, int64_t n, float scale, int offset, int64_t padded, uint8_t* q) {
  std::fill(q + n, q + padded, uint8_t{0});
  // A subnormal scale has no inverse; what it stands for is as good as zero. NaN makes its row NaN.
  if (!(scale >= 1e-37f)) {
    std::fill(q, q + n, static_cast<uint8_t>(offset));
    return 0;
  }
  return STEMMA_AT_LEVEL(round_row)(x, n, 1 / scale, offset, q);
}

}  // namespace quantise
}  // namespace stemma
#endif
