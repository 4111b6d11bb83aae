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
using tiled::kKeys;
using tiled::Running;
using tiled::View;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(D()));

// True for the lanes of vector i that lie in [first, last) of the block.
auto seen(int64_t i, V first, V last) {
  const V index = hn::Iota(D(), static_cast<float>(i * kLanes));
  return hn::And(hn::Ge(index, first), hn::Lt(index, last));
}

// Vectors that hold the keys any of the rows sees; beyond them p is 0 and not written.
int64_t vectors(const View& view, int64_t rows) {
  return (view.last(rows - 1) + 15) / 16 * 16 / kLanes;
}

void softmax(const View& view, int64_t rows, float scale, float* scores, const Running& running) {
  const D d;
  const int64_t n = vectors(view, rows);
  const V lowest = hn::Set(d, -HUGE_VALF), vscale = hn::Set(d, scale);
  float top[tiled::kStrip], base[tiled::kStrip], shrink[tiled::kStrip];
  for (int64_t r = 0; r < rows; ++r) {
    float* s = scores + r * kKeys;
    const V first = hn::Set(d, static_cast<float>(view.first(r)));
    const V last = hn::Set(d, static_cast<float>(view.last(r)));
    V most = hn::Set(d, running.max[r]);
    for (int64_t i = 0; i < n; ++i) {
      const V x = hn::Mul(hn::LoadU(d, s + i * kLanes), vscale);
      const V masked = hn::IfThenElse(seen(i, first, last), x, lowest);
      hn::StoreU(masked, d, s + i * kLanes);
      most = hn::Max(most, masked);
    }
    top[r] = hn::GetLane(hn::MaxOfLanes(d, most));
  }
  for (int64_t r = 0; r < rows; r += kLanes) {
    const V now = load_n(d, top + r, rows - r);
    // A row that has seen no key yet is measured from 0: exp(-inf - 0) is 0, and not NaN.
    const V from = hn::IfThenZeroElse(hn::Eq(now, lowest), now);
    const V change = hn::Sub(load_n(d, running.max + r, rows - r), from);
    store_n(d, vexp_softmax(d, change), shrink + r, rows - r);
    store_n(d, from, base + r, rows - r);
  }
  for (int64_t r = 0; r < rows; ++r) {
    float* s = scores + r * kKeys;
    const V vmax = hn::Set(d, base[r]);
    const float sum = sum16(d, n * kLanes, [&](int64_t i, int64_t) HWY_ATTR {
      const V p = vexp_softmax(d, hn::Sub(hn::LoadU(d, s + i), vmax));
      hn::StoreU(p, d, s + i);
      return p;
    });
    running.sum[r] = running.sum[r] * shrink[r] + sum;
    if (top[r] == running.max[r]) continue;  // shrink is 1
    running.max[r] = top[r];
    float* out = running.out + r * running.stride;
    const V vshrink = hn::Set(d, shrink[r]);
    for (int64_t j = 0; j < running.width; j += kLanes)
      hn::StoreU(hn::Mul(hn::LoadU(d, out + j), vshrink), d, out + j);
  }
}

void softmax_backward(const View& view, int64_t rows, float scale, const float* lse,
                      const float* delta, float* scores, float* dp) {
  const D d;
  const int64_t n = vectors(view, rows);
  const V vscale = hn::Set(d, scale);
  for (int64_t r = 0; r < rows; ++r) {
    float *s = scores + r * kKeys, *g = dp + r * kKeys;
    const V first = hn::Set(d, static_cast<float>(view.first(r)));
    const V last = hn::Set(d, static_cast<float>(view.last(r)));
    const V vlse = hn::Set(d, lse[r]), vdelta = hn::Set(d, delta[r]);
    for (int64_t i = 0; i < n; ++i) {
      const auto mask = seen(i, first, last);
      const V x = hn::Sub(hn::Mul(hn::LoadU(d, s + i * kLanes), vscale), vlse);
      const V p = hn::IfThenElseZero(mask, vexp_softmax(d, x));
      const V ds = hn::Mul(hn::Mul(p, hn::Sub(hn::LoadU(d, g + i * kLanes), vdelta)), vscale);
      hn::StoreU(p, d, s + i * kLanes);
      hn::StoreU(hn::IfThenElseZero(mask, ds), d, g + i * kLanes);
    }
  }
}

void finish(const Running& running, int64_t rows, float* out, int64_t out_stride, float* lse,
            int64_t lse_stride) {
  const D d;
  for (int64_t r = 0; r < rows; ++r) {
    const float sum = running.sum[r];
    const V inverse = hn::Set(d, sum > 0 ? 1.0f / sum : 0.0f);
    // Adding zero turns -0 into +0: the sign of a vanished product could tell how many masked keys
    // were multiplied after it.
    for (int64_t j = 0; j < running.width; j += kLanes)
      store_n(d,
              hn::Add(hn::Mul(load_n(d, running.out + r * running.stride + j, running.width - j),
                              inverse),
                      hn::Zero(d)),
              out + r * out_stride + j, running.width - j);
    if (lse != nullptr)
      lse[r * lse_stride] = running.max[r] + hn::GetLane(vlog(d, hn::Set(d, sum)));
  }
}

float dot(const float* a, const float* b, int64_t n) {
  const D d;
  return sum16(d, n, [&](int64_t i, int64_t m) HWY_ATTR {
    return hn::Mul(load_n(d, a + i, m), load_n(d, b + i, m));
  });
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
STEMMA_LEVELS(dot);
}  // namespace

namespace tiled {

void softmax(const View& view, int64_t rows, float scale, float* scores, const Running& running) {
  STEMMA_AT_LEVEL(softmax)(view, rows, scale, scores, running);
}

void softmax_backward(const View& view, int64_t rows, float scale, const float* lse,
                      const float* delta, float* scores, float* dp) {
  STEMMA_AT_LEVEL(softmax_backward)(view, rows, scale, lse, delta, scores, dp);
}

void finish(const Running& running, int64_t rows, float* out, int64_t out_stride, float* lse,
            int64_t lse_stride) {
  STEMMA_AT_LEVEL(finish)(running, rows, out, out_stride, lse, lse_stride);
}

float dot(const float* a, const float* b, int64_t n) { return STEMMA_AT_LEVEL(dot)(a, b, n); }

}  // namespace tiled
}  // namespace stemma
#endif
