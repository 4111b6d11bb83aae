// s = x + delta; y = (s - mean(s)) / sqrt(var(s) + eps) * w + b (Ba, Kiros, Hinton 2016).
// Shapes: x, delta, s, y [..., C]; w, b [C]. Accumulates in f32; the variance is a second pass.
// Gradient: with r = 1 / sqrt(var + eps), n = (s - mean) r and g = dy * w,
//   ds = ds_out + r (g - mean(g) - n mean(g n)),  dx = ddelta = ds,
//   dw = sum over rows of dy n,  db = sum over rows of dy.
#include "ops/norm.h"
#include "ops/primitives.h"
#include "ops/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/add_layer_norm.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// One row. delta, w and b may be null; with a delta, the sum goes to s, else s is x and is read.
void layer_norm_row(const float* x, const float* delta, const float* w, const float* b, float eps,
                    int64_t n, float* s, float* y, float* mean_out, float* rstd_out) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const float total = sum16(d, n, [&](int64_t i, int64_t m) HWY_ATTR {
    auto v = load_n(d, x + i, m);
    if (delta) {
      v = hn::Add(v, load_n(d, delta + i, m));
      store_n(d, v, s + i, m);
    }
    return v;
  });
  const float mean = total / static_cast<float>(n);
  const auto vmean = hn::Set(d, mean);
  const float squares = sum16(d, n, [&](int64_t i, int64_t m) HWY_ATTR {
    auto v = hn::Sub(load_n(d, s + i, m), vmean);
    if (m < lanes) v = hn::IfThenElseZero(hn::FirstN(d, static_cast<size_t>(m)), v);
    return hn::Mul(v, v);
  });
  const float rstd = 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
  const auto vrstd = hn::Set(d, rstd);
  for (int64_t i = 0; i < n; i += lanes) {
    const int64_t m = n - i;
    auto v = hn::Mul(hn::Sub(load_n(d, s + i, m), vmean), vrstd);
    if (w) v = hn::Mul(v, load_n(d, w + i, m));
    if (b) v = hn::Add(v, load_n(d, b + i, m));
    store_n(d, v, y + i, m);
  }
  *mean_out = mean;
  *rstd_out = rstd;
}

// One row of the gradient. w, ds_out, ds, dw and db may be null; dw and db are added to.
void layer_norm_row_backward(const float* dy, const float* s, const float* w, float mean,
                             float rstd, int64_t n, const float* ds_out, float* ds, float* dw,
                             float* db) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto vmean = hn::Set(d, mean), vrstd = hn::Set(d, rstd);
  const auto normed = [&](int64_t i, int64_t m)
                          HWY_ATTR { return hn::Mul(hn::Sub(load_n(d, s + i, m), vmean), vrstd); };
  const auto scaled = [&](int64_t i, int64_t m) HWY_ATTR {
    const auto g = load_n(d, dy + i, m);
    return w ? hn::Mul(g, load_n(d, w + i, m)) : g;
  };
  const float sum_g = sum16(d, n, scaled);
  const float sum_gn = sum16(
      d, n, [&](int64_t i, int64_t m) HWY_ATTR { return hn::Mul(scaled(i, m), normed(i, m)); });
  const auto mean_g = hn::Set(d, sum_g / static_cast<float>(n));
  const auto mean_gn = hn::Set(d, sum_gn / static_cast<float>(n));
  for (int64_t i = 0; i < n; i += lanes) {
    const int64_t m = n - i;
    const auto v = normed(i, m);
    if (ds) {
      auto r = vfnma(v, mean_gn, hn::Sub(scaled(i, m), mean_g));
      r = hn::Mul(r, vrstd);
      if (ds_out) r = hn::Add(r, load_n(d, ds_out + i, m));
      store_n(d, r, ds + i, m);
    }
    const auto g = load_n(d, dy + i, m);
    if (dw) store_n(d, vfma(g, v, load_n(d, dw + i, m)), dw + i, m);
    if (db) store_n(d, hn::Add(load_n(d, db + i, m), g), db + i, m);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(layer_norm_row);
STEMMA_LEVELS(layer_norm_row_backward);

Normed define(Ctx& c, const Tensor& x, const Tensor& delta, const Tensor& w, const Tensor& b,
              double eps) {
  const Tensor s = delta ? add(c, x, delta) : x;
  const Tensor centred = sub(c, s, mean(c, s, -1));
  const Tensor variance = mean(c, square(c, centred), -1);
  Tensor y = mul(c, centred, rsqrt(c, add(c, variance, eps)));
  if (w) y = mul(c, y, w);
  if (b) y = add(c, y, b);
  return {s, y};
}

using rows::data_or_null;

Normed run(Ctx& c, const Tensor& x, const Tensor& delta, const Tensor& w, const Tensor& b,
           float eps) {
  const int64_t rows = rows::count(x), n = x.extent(-1);
  const Tensor s = delta ? Tensor::empty(c, x.shape()) : x;
  const Tensor y = Tensor::empty(c, x.shape());
  const Tensor mean = Tensor::empty(c, {rows}), rstd = Tensor::empty(c, {rows});
  const float *px = x.data<float>(), *pd = data_or_null(delta);
  const float *pw = data_or_null(w), *pb = data_or_null(b);
  float *ps = s.data<float>(), *py = y.data<float>();
  float *pm = mean.data<float>(), *pr = rstd.data<float>();
  const auto row = STEMMA_AT_LEVEL(layer_norm_row);
  c.team->run_range(rows, rows::grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      row(px + r * n, pd ? pd + r * n : nullptr, pw, pb, eps, n, ps + r * n, py + r * n, pm + r,
          pr + r);
  });
  if (!recording(c, {x, delta, w, b})) return {s, y};

  auto rule = [x, delta, w, b, s, mean, rstd](Ctx& c, const Tensor& ds_out, const Tensor& dy,
                                              Grads& g) {
    const bool wants_x = g.wants(x) || g.wants(delta);
    const bool wants_w = w && g.wants(w), wants_b = b && g.wants(b);
    Tensor ds = ds_out;
    if (dy) {
      const int64_t rows = rows::count(x), n = x.extent(-1);
      const Tensor dense = contiguous(c, dy), carried = ds_out ? contiguous(c, ds_out) : Tensor();
      if (wants_x) ds = Tensor::empty(c, x.shape());
      const rows::Partials partials(c, rows, wants_w || wants_b ? 2 * n : 0);
      const float *pdy = dense.data<float>(), *ps = s.data<float>(), *pw = data_or_null(w);
      const float *pm = mean.data<float>(), *pr = rstd.data<float>();
      const float* pc = data_or_null(carried);
      float* pds = wants_x ? ds.data<float>() : nullptr;
      const auto row = STEMMA_AT_LEVEL(layer_norm_row_backward);
      c.team->run_range(rows, partials.grain(), [&](int64_t begin, int64_t end) {
        float* piece = partials.piece(begin);
        for (int64_t r = begin; r < end; ++r)
          row(pdy + r * n, ps + r * n, pw, pm[r], pr[r], n, pc ? pc + r * n : nullptr,
              pds ? pds + r * n : nullptr, wants_w ? piece : nullptr,
              wants_b ? piece + n : nullptr);
      });
      if (wants_w) partials.add_to(c, 0, n, g.into(c, w).data<float>());
      if (wants_b) partials.add_to(c, n, n, g.into(c, b).data<float>());
    }
    if (!ds) return;
    g.add(c, x, ds);
    if (delta) g.add(c, delta, ds);
  };
  if (delta)
    c.tape->record("add_layer_norm", {s, y},
                   [rule](Ctx& c, std::span<const Tensor> d, Grads& g) { rule(c, d[0], d[1], g); });
  else
    c.tape->record("layer_norm", {y},
                   [rule](Ctx& c, std::span<const Tensor> d, Grads& g) { rule(c, {}, d[0], g); });
  return {s, y};
}

}  // namespace

Normed add_layer_norm(Ctx& c, const Tensor& x, const Tensor& delta, const Tensor& w,
                      const Tensor& b, double eps) {
  rows::check_same_shape("add_layer_norm", "delta", x, delta);
  rows::check_width("add_layer_norm", "w", x, w);
  rows::check_width("add_layer_norm", "b", x, b);
  if (!rows::use_kernel(c, x)) return define(c, x, delta, w, b, eps);
  const auto dense = [&](const Tensor& t) { return t ? contiguous(c, t) : t; };
  return run(c, dense(x), dense(delta), dense(w), dense(b), static_cast<float>(eps));
}

}  // namespace stemma
#endif
