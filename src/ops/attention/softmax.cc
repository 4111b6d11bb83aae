// The vector passes of tiled attention. Masked scores count as minus infinity, so that what lies
// beyond the last key is never used, whatever it holds.
#include <algorithm>

#include "ops/attention/tiled.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/attention/softmax.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;
using tiled::BiasSums;
using tiled::Finished;
using tiled::kKeys;
using tiled::kParts;
using tiled::Running;
using tiled::Terms;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(D()));

// 2^x for x <= 127, 0 from -126 down; a relative error of 1.2e-7. 2^0 is 1.
HWY_INLINE V exp2_softmax(V x) {
  const D d;
  const hn::RebindToSigned<D> di;
  const V shift = hn::Set(d, 12582912.0f);  // 1.5 * 2^23
  const V shifted = hn::Add(x, shift);      // x rounded, in the low bits
  const V r = hn::Sub(x, hn::Sub(shifted, shift));
  constexpr float kC[] = {1.0f,
                          6.931469776e-01f,
                          2.402224209e-01f,
                          5.550733743e-02f,
                          9.671512640e-03f,
                          1.326472722e-03f};
  const V y = vpoly(d, r, kC);
  const auto scaled = hn::Add(hn::BitCast(di, y), hn::ShiftLeft<23>(hn::BitCast(di, shifted)));
  return hn::IfThenZeroElse(hn::Le(x, hn::Set(d, -126.0f)), hn::BitCast(d, scaled));
}

// The lanes from j on whose bits are set.
HWY_INLINE auto lanes_of(uint64_t bits, int64_t j) {
  const uint64_t word = bits >> j;
  return hn::LoadMaskBits(D(), reinterpret_cast<const uint8_t*>(&word));
}

// The score at `j` of a row, before the cap.
HWY_INLINE V biased(const Terms& t, int64_t row, const float* scores, int64_t j) {
  const D d;
  V x = hn::LoadU(d, scores + j);
  if (t.distance_bias != nullptr) x = hn::Add(x, hn::LoadU(d, t.distance_bias[row] + j));
  if (t.key_bias != nullptr) x = hn::Add(x, hn::LoadU(d, t.key_bias[row] + j));
  if (t.pair_bias != nullptr) x = hn::Add(x, hn::LoadU(d, t.pair_bias + row * kKeys + j));
  return x;
}

void shrink_to(const Running& running, int64_t row, float by) {
  const D d;
  const V v = hn::Set(d, by);
  float *out = running.out + row * running.stride, *sum = running.sum + row * kParts;
  for (int64_t j = 0; j < running.width; j += kLanes)
    hn::StoreU(hn::Mul(hn::LoadU(d, out + j), v), d, out + j);
  for (int64_t j = 0; j < kParts; j += kLanes)
    hn::StoreU(hn::Mul(hn::LoadU(d, sum + j), v), d, sum + j);
}

// A row's scores to probabilities, added to its sum. kWhole: there are kKeys of them.
template <bool kWhole>
HWY_INLINE void probabilities(int64_t columns, V base, float* HWY_RESTRICT s,
                              float* HWY_RESTRICT sum) {
  const D d;
  const int64_t n = kWhole ? kKeys : columns;
  for (int64_t part = 0; part < kParts; part += kLanes) {
    V total = hn::Zero(d);
#pragma GCC unroll 4
    for (int64_t j = part; j < n; j += kParts) {
      const V p = exp2_softmax(hn::Sub(hn::LoadU(d, s + j), base));
      hn::StoreU(p, d, s + j);
      total = hn::Add(total, p);
    }
    hn::StoreU(hn::Add(hn::LoadU(d, sum + part), total), d, sum + part);
  }
}

template <bool kWhole>
HWY_INLINE V largest(int64_t columns, const float* s) {
  const D d;
  const int64_t n = kWhole ? kKeys : columns;
  V most = hn::LoadU(d, s);
#pragma GCC unroll 4
  for (int64_t j = kLanes; j < n; j += kLanes) most = hn::Max(most, hn::LoadU(d, s + j));
  return most;
}

void softmax(const Terms& terms, int64_t rows, int64_t columns, float* scores,
             const Running& running) {
  const D d;
  const V lowest = hn::Set(d, -HUGE_VALF);
  const bool plain =
      !terms.seen && !terms.distance_bias && !terms.key_bias && !terms.pair_bias && terms.cap == 0;
  float top[tiled::kStrip];
  for (int64_t r = 0; r < rows; ++r) {
    float* s = scores + r * kKeys;
    V most = lowest;
    if (plain) {
      most = columns == kKeys ? largest<true>(columns, s) : largest<false>(columns, s);
    } else {
      const V cap = hn::Set(d, terms.cap);
      for (int64_t j = 0; j < columns; j += kLanes) {
        V x = biased(terms, r, s, j);
        if (terms.cap != 0) x = hn::Mul(cap, vtanh(d, hn::Div(x, cap)));
        if (terms.seen != nullptr) x = hn::IfThenElse(lanes_of(terms.seen[r], j), x, lowest);
        hn::StoreU(x, d, s + j);
        most = hn::Max(most, x);
      }
    }
    top[r] = std::max(running.max[r], hn::GetLane(hn::MaxOfLanes(d, most)));
  }
  for (int64_t r = 0; r < rows; ++r) {
    float *s = scores + r * kKeys, *sum = running.sum + r * kParts;
    if (top[r] != running.max[r]) {
      // A row that has seen no key yet holds zeros.
      if (running.max[r] > -HUGE_VALF)
        shrink_to(running, r, hn::GetLane(exp2_softmax(hn::Set(d, running.max[r] - top[r]))));
      running.max[r] = top[r];
    }
    // ... and is measured from 0: exp(-inf - 0) is 0, and not NaN.
    const V base = hn::Set(d, top[r] > -HUGE_VALF ? top[r] : 0.0f);
    if (columns == kKeys)
      probabilities<true>(columns, base, s, sum);
    else
      probabilities<false>(columns, base, s, sum);
  }
}

void softmax_backward(const Terms& terms, int64_t rows, int64_t columns, float scale,
                      const float* total, const float* delta, float* scores, float* dp,
                      const BiasSums& sums) {
  const D d;
  const V vscale = hn::Set(d, scale), cap = hn::Set(d, terms.cap), one = hn::Set(d, 1.0f);
  const auto add = [&](V v, float* to)
                       HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, to), v), d, to); };
  for (int64_t r = 0; r < rows; ++r) {
    float *s = scores + r * kKeys, *g = dp + r * kKeys;
    const V vtotal = hn::Set(d, total[r]), vdelta = hn::Set(d, delta[r]);
    for (int64_t j = 0; j < columns; j += kLanes) {
      V x = biased(terms, r, s, j), slope = one;
      if (terms.cap != 0) {
        const V t = vtanh(d, hn::Div(x, cap));
        x = hn::Mul(cap, t);
        slope = vfnma(t, t, one);
      }
      V p = exp2_softmax(hn::Sub(x, vtotal));
      V ds = hn::Mul(p, hn::Sub(hn::LoadU(d, g + j), vdelta));
      if (terms.cap != 0) ds = hn::Mul(ds, slope);
      if (terms.seen != nullptr) {
        const auto seen = lanes_of(terms.seen[r], j);
        p = hn::IfThenElseZero(seen, p);
        ds = hn::IfThenElseZero(seen, ds);
      }
      hn::StoreU(p, d, s + j);
      hn::StoreU(hn::Mul(ds, vscale), d, g + j);
      if (sums.distance != nullptr) add(ds, sums.distance[r] + j);
      if (sums.key != nullptr) add(ds, sums.key[r] + j);
    }
  }
}

void finish(const Running& running, int64_t rows, const Finished& to) {
  const D d;
  for (int64_t r = 0; r < rows; ++r) {
    const float* parts = running.sum + r * kParts;
    const float sum =
        sum16(d, kParts, [&](int64_t i, int64_t m) HWY_ATTR { return load_n(d, parts + i, m); });
    const V inverse = hn::Set(d, sum > 0 ? 1.0f / sum : 0.0f);
    // Adding zero turns -0 into +0: the sign of a vanished product could tell how many masked keys
    // were multiplied after it.
    for (int64_t j = 0; j < running.width; j += kLanes)
      store_n(d,
              hn::Add(hn::Mul(load_n(d, running.out + r * running.stride + j, running.width - j),
                              inverse),
                      hn::Zero(d)),
              to.out + r * to.out_stride + j, running.width - j);
    if (to.lse == nullptr && to.total == nullptr) continue;
    const float log = hn::GetLane(vlog(d, hn::Set(d, sum)));
    if (to.total != nullptr) to.total[r * to.stride] = running.max[r] + log * tiled::kLog2E;
    if (to.lse != nullptr) to.lse[r * to.stride] = running.max[r] * tiled::kLn2 + log;
  }
}

void gather_row(const float* from, const int32_t* index, int64_t n, float by, bool add,
                float* out) {
  const D d;
  const hn::RebindToSigned<D> di;
  const V v = hn::Set(d, by);
  for (int64_t i = 0; i < n; i += kLanes) {
    V x = hn::Mul(v, hn::GatherIndex(d, from, hn::LoadU(di, index + i)));
    if (add) x = hn::Add(hn::LoadU(d, out + i), x);
    hn::StoreU(x, d, out + i);
  }
}

float dot(const float* a, const float* b, int64_t n) {
  const D d;
  return sum16(d, n, [&](int64_t i, int64_t m) HWY_ATTR {
    return hn::Mul(load_n(d, a + i, m), load_n(d, b + i, m));
  });
}

void scale_rows(const float* from, int64_t from_stride, int64_t rows, int64_t width, float by,
                float* to) {
  const D d;
  const V v = hn::Set(d, by);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < width; j += kLanes)
      store_n(d, hn::Mul(load_n(d, from + r * from_stride + j, width - j), v), to + r * width + j,
              width - j);
}

void add_to(const float* from, int64_t n, float* to) {
  const D d;
  for (int64_t i = 0; i < n; i += kLanes)
    store_n(d, hn::Add(load_n(d, to + i, n - i), load_n(d, from + i, n - i)), to + i, n - i);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {
STEMMA_LEVELS(softmax);
STEMMA_LEVELS(softmax_backward);
STEMMA_LEVELS(finish);
STEMMA_LEVELS(gather_row);
STEMMA_LEVELS(dot);
STEMMA_LEVELS(scale_rows);
STEMMA_LEVELS(add_to);
}  // namespace

namespace tiled {

void softmax(const Terms& terms, int64_t rows, int64_t columns, float* scores,
             const Running& running) {
  STEMMA_AT_LEVEL(softmax)(terms, rows, columns, scores, running);
}

void softmax_backward(const Terms& terms, int64_t rows, int64_t columns, float scale,
                      const float* total, const float* delta, float* scores, float* dp,
                      const BiasSums& sums) {
  STEMMA_AT_LEVEL(softmax_backward)
  (terms, rows, columns, scale, total, delta, scores, dp, sums);
}

void finish(const Running& running, int64_t rows, const Finished& to) {
  STEMMA_AT_LEVEL(finish)(running, rows, to);
}

void gather_row(const float* from, const int32_t* index, int64_t n, float by, bool add,
                float* out) {
  STEMMA_AT_LEVEL(gather_row)(from, index, n, by, add, out);
}

float dot(const float* a, const float* b, int64_t n) { return STEMMA_AT_LEVEL(dot)(a, b, n); }

void scale_rows(const float* from, int64_t from_stride, int64_t rows, int64_t width, float by,
                float* to) {
  STEMMA_AT_LEVEL(scale_rows)(from, from_stride, rows, width, by, to);
}

void add_to(const float* from, int64_t n, float* to) { STEMMA_AT_LEVEL(add_to)(from, n, to); }

}  // namespace tiled
}  // namespace stemma
#endif
