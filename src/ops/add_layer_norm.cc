// s = x + delta; y = (s - mean(s)) / sqrt(var(s) + eps) * w + b (Ba, Kiros, Hinton 2016).
// Shapes: x, delta, s, y [..., C]; w, b [C]. Accumulates in f32; the variance is a second pass.
// Gradient: with r = 1 / sqrt(var + eps), n = (s - mean) r and g = dy * w,
//   ds = ds_out + r (g - mean(g) - n mean(g n)),  dx = ddelta = ds,
//   dw = sum over rows of dy n,  db = sum over rows of dy.
#include "ops/norm.h"
#include "ops/op.h"
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

struct LayerNorm {
  Tensor x, delta, w, b;
  double eps;
  Tensor sum = {}, out = {};
  Tensor mean = {}, rstd = {};  // [rows], for the backward
};

void define(Ctx& c, LayerNorm& p) {
  p.sum = p.delta ? add(c, p.x, p.delta) : p.x;
  const Tensor centred = sub(c, p.sum, mean(c, p.sum, -1));
  const Tensor variance = mean(c, square(c, centred), -1);
  p.out = mul(c, centred, rsqrt(c, add(c, variance, p.eps)));
  if (p.w) p.out = mul(c, p.out, p.w);
  if (p.b) p.out = add(c, p.out, p.b);
}

using rows::data_or_null;

void forward(Ctx& c, LayerNorm& p, bool) {
  const int64_t rows = rows::count(p.x), n = p.x.extent(-1);
  p.sum = p.delta ? Tensor::empty(c, p.x.shape()) : p.x;
  p.out = Tensor::empty(c, p.x.shape());
  p.mean = Tensor::empty(c, {rows});
  p.rstd = Tensor::empty(c, {rows});
  const float *x = p.x.data<float>(), *delta = data_or_null(p.delta);
  const float *w = data_or_null(p.w), *b = data_or_null(p.b);
  float *sum = p.sum.data<float>(), *out = p.out.data<float>();
  float *mean = p.mean.data<float>(), *rstd = p.rstd.data<float>();
  const auto eps = static_cast<float>(p.eps);
  const auto row = STEMMA_AT_LEVEL(layer_norm_row);
  c.team->run_range(rows, rows::grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      row(x + r * n, delta ? delta + r * n : nullptr, w, b, eps, n, sum + r * n, out + r * n,
          mean + r, rstd + r);
  });
}

void backward(Ctx& c, const LayerNorm& p, std::span<const Tensor> d, Grads& g) {
  const bool wants_x = g.wants(p.x) || g.wants(p.delta);
  const bool wants_w = g.wants(p.w), wants_b = g.wants(p.b);
  Tensor ds = d[0];
  if (d[1]) {
    const int64_t rows = rows::count(p.x), n = p.x.extent(-1);
    if (wants_x) ds = Tensor::empty(c, p.x.shape());
    const rows::Partials partials(c, rows, wants_w || wants_b ? 2 * n : 0);
    const float *dsum = data_or_null(d[0]), *dout = d[1].data<float>();
    const float *sum = p.sum.data<float>(), *w = data_or_null(p.w);
    const float *mean = p.mean.data<float>(), *rstd = p.rstd.data<float>();
    float* to = wants_x ? ds.data<float>() : nullptr;
    const auto row = STEMMA_AT_LEVEL(layer_norm_row_backward);
    c.team->run_range(rows, partials.grain(), [&](int64_t begin, int64_t end) {
      float* piece = partials.piece(begin);
      for (int64_t r = begin; r < end; ++r)
        row(dout + r * n, sum + r * n, w, mean[r], rstd[r], n, dsum ? dsum + r * n : nullptr,
            to ? to + r * n : nullptr, wants_w ? piece : nullptr, wants_b ? piece + n : nullptr);
    });
    if (wants_w) partials.add_to(c, 0, n, g.into(c, p.w).data<float>());
    if (wants_b) partials.add_to(c, n, n, g.into(c, p.b).data<float>());
  }
  if (!ds) return;
  g.add(c, p.x, ds);
  g.add(c, p.delta, ds);
}

std::vector<OpCase> cases() {
  constexpr double kEps = 1e-5;
  return {
      {.name = "plain",
       .inputs =
           [](int64_t rows, int64_t n) {
             return std::vector{OpInput::batch({rows, n}), OpInput::real({n}), OpInput::real({n})};
           },
       .run = [](Ctx& c, const Tensors& in) -> Tensors {
         return {add_layer_norm(c, in[0], {}, in[1], in[2], kEps).out};
       }},
      {.name = "with_residual",
       .inputs =
           [](int64_t rows, int64_t n) {
             const OpInput x = OpInput::batch({rows, n}), w = OpInput::real({n});
             return std::vector{x, x, w, w};
           },
       .run = [](Ctx& c, const Tensors& in) -> Tensors {
         const Normed y = add_layer_norm(c, in[0], in[1], in[2], in[3], kEps);
         return {y.sum, y.out};
       },
       .timed = true},
      {.name = "without_weights",
       .inputs =
           [](int64_t rows, int64_t n) {
             return std::vector{OpInput::batch({rows, n})};
           },
       .run = [](Ctx& c, const Tensors& in) -> Tensors {
         const Normed y = add_layer_norm(c, in[0], {}, {}, {}, kEps);
         return {y.sum, y.out};
       }}};
}

const Op<LayerNorm> kLayerNorm{
    {.name = "add_layer_norm",
     .operands = {&LayerNorm::x, &LayerNorm::delta, &LayerNorm::w, &LayerNorm::b},
     .results = {&LayerNorm::sum, &LayerNorm::out},
     .kept = {&LayerNorm::sum},
     .define = define,
     .forward = {{"rows", forward}},
     .backward = {{"rows", backward}},
     .cases = cases}};

}  // namespace

Normed add_layer_norm(Ctx& c, const Tensor& x, const Tensor& delta, const Tensor& w,
                      const Tensor& b, double eps) {
  rows::check_same_shape("add_layer_norm", "delta", x, delta);
  rows::check_width("add_layer_norm", "w", x, w);
  rows::check_width("add_layer_norm", "b", x, b);
  const LayerNorm p = kLayerNorm(c, {.x = x, .delta = delta, .w = w, .b = b, .eps = eps});
  return {p.sum, p.out};
}

}  // namespace stemma
#endif
