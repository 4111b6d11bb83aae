// s = x + delta; y = s / sqrt(mean(s^2) + eps) * w (Zhang, Sennrich 2019).
// Shapes: x, delta, s, y [..., C]; w [C]. Accumulates in f32.
// Gradient: with r = 1 / sqrt(mean(s^2) + eps), n = s r and g = dy * w,
//   ds = ds_out + r (g - n mean(g n)),  dx = ddelta = ds,  dw = sum over rows of dy n.
#include "ops/norm.h"
#include "ops/primitives.h"
#include "ops/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/add_rms_norm.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// One row. delta and w may be null; with a delta, the sum goes to s, else s is x and is read.
void rms_norm_row(const float* x, const float* delta, const float* w, float eps, int64_t n,
                  float* s, float* y, float* rstd_out) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const float squares = sum16(d, n, [&](int64_t i, int64_t m) HWY_ATTR {
    auto v = load_n(d, x + i, m);
    if (delta) {
      v = hn::Add(v, load_n(d, delta + i, m));
      store_n(d, v, s + i, m);
    }
    return hn::Mul(v, v);
  });
  const float rstd = 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
  const auto vrstd = hn::Set(d, rstd);
  for (int64_t i = 0; i < n; i += lanes) {
    const int64_t m = n - i;
    auto v = hn::Mul(load_n(d, s + i, m), vrstd);
    if (w) v = hn::Mul(v, load_n(d, w + i, m));
    store_n(d, v, y + i, m);
  }
  *rstd_out = rstd;
}

// One row of the gradient. w, ds_out, ds and dw may be null; dw is added to.
void rms_norm_row_backward(const float* dy, const float* s, const float* w, float rstd, int64_t n,
                           const float* ds_out, float* ds, float* dw) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto vrstd = hn::Set(d, rstd);
  const auto normed = [&](int64_t i, int64_t m)
                          HWY_ATTR { return hn::Mul(load_n(d, s + i, m), vrstd); };
  const auto scaled = [&](int64_t i, int64_t m) HWY_ATTR {
    const auto g = load_n(d, dy + i, m);
    return w ? hn::Mul(g, load_n(d, w + i, m)) : g;
  };
  const float sum_gn = sum16(
      d, n, [&](int64_t i, int64_t m) HWY_ATTR { return hn::Mul(scaled(i, m), normed(i, m)); });
  const auto mean_gn = hn::Set(d, sum_gn / static_cast<float>(n));
  for (int64_t i = 0; i < n; i += lanes) {
    const int64_t m = n - i;
    const auto v = normed(i, m);
    if (ds) {
      auto r = hn::Mul(vfnma(v, mean_gn, scaled(i, m)), vrstd);
      if (ds_out) r = hn::Add(r, load_n(d, ds_out + i, m));
      store_n(d, r, ds + i, m);
    }
    if (dw) store_n(d, vfma(load_n(d, dy + i, m), v, load_n(d, dw + i, m)), dw + i, m);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(rms_norm_row);
STEMMA_LEVELS(rms_norm_row_backward);

Normed define(Ctx& c, const Tensor& x, const Tensor& delta, const Tensor& w, double eps) {
  const Tensor s = delta ? add(c, x, delta) : x;
  const Tensor y = mul(c, s, rsqrt(c, add(c, mean(c, square(c, s), -1), eps)));
  return {s, w ? mul(c, y, w) : y};
}

using rows::data_or_null;

Normed run(Ctx& c, const Tensor& x, const Tensor& delta, const Tensor& w, float eps) {
  const int64_t rows = rows::count(x), n = x.extent(-1);
  const Tensor s = delta ? Tensor::empty(c, x.shape()) : x;
  const Tensor y = Tensor::empty(c, x.shape());
  const Tensor rstd = Tensor::empty(c, {rows});
  const float *px = x.data<float>(), *pd = data_or_null(delta), *pw = data_or_null(w);
  float *ps = s.data<float>(), *py = y.data<float>(), *pr = rstd.data<float>();
  const auto row = STEMMA_AT_LEVEL(rms_norm_row);
  c.team->run_range(rows, rows::grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      row(px + r * n, pd ? pd + r * n : nullptr, pw, eps, n, ps + r * n, py + r * n, pr + r);
  });
  if (!recording(c, {x, delta, w})) return {s, y};

  auto rule = [x, delta, w, s, rstd](Ctx& c, const Tensor& ds_out, const Tensor& dy, Grads& g) {
    const bool wants_x = g.wants(x) || g.wants(delta), wants_w = w && g.wants(w);
    Tensor ds = ds_out;
    if (dy) {
      const int64_t rows = rows::count(x), n = x.extent(-1);
      const Tensor dense = contiguous(c, dy), carried = ds_out ? contiguous(c, ds_out) : Tensor();
      if (wants_x) ds = Tensor::empty(c, x.shape());
      const rows::Partials partials(c, rows, wants_w ? n : 0);
      const float *pdy = dense.data<float>(), *ps = s.data<float>(), *pw = data_or_null(w);
      const float *pr = rstd.data<float>(), *pc = data_or_null(carried);
      float* pds = wants_x ? ds.data<float>() : nullptr;
      const auto row = STEMMA_AT_LEVEL(rms_norm_row_backward);
      c.team->run_range(rows, partials.grain(), [&](int64_t begin, int64_t end) {
        float* piece = wants_w ? partials.piece(begin) : nullptr;
        for (int64_t r = begin; r < end; ++r)
          row(pdy + r * n, ps + r * n, pw, pr[r], n, pc ? pc + r * n : nullptr,
              pds ? pds + r * n : nullptr, piece);
      });
      if (wants_w) partials.add_to(c, 0, n, g.into(c, w).data<float>());
    }
    if (!ds) return;
    g.add(c, x, ds);
    if (delta) g.add(c, delta, ds);
  };
  if (delta)
    c.tape->record("add_rms_norm", {s, y},
                   [rule](Ctx& c, std::span<const Tensor> d, Grads& g) { rule(c, d[0], d[1], g); });
  else
    c.tape->record("rms_norm", {y},
                   [rule](Ctx& c, std::span<const Tensor> d, Grads& g) { rule(c, {}, d[0], g); });
  return {s, y};
}

}  // namespace

Normed add_rms_norm(Ctx& c, const Tensor& x, const Tensor& delta, const Tensor& w, double eps) {
  rows::check_same_shape("add_rms_norm", "delta", x, delta);
  rows::check_width("add_rms_norm", "w", x, w);
  if (!rows::use_kernel(c, x)) return define(c, x, delta, w, eps);
  const auto dense = [&](const Tensor& t) { return t ? contiguous(c, t) : t; };
  return run(c, dense(x), dense(delta), dense(w), static_cast<float>(eps));
}

}  // namespace stemma
#endif
