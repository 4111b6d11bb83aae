// s = x + delta; y = s / sqrt(mean(s^2) + eps) * w (Zhang, Sennrich 2019).
// Shapes: x, delta, s, y [..., C]; w [C], or [G,C], of which row i of x takes row i % G.
// Accumulates in f32. Gradient: with r = 1 / sqrt(mean(s^2) + eps), n = s r and g = dy * w,
//   ds = ds_out + r (g - n mean(g n)),  dx = ddelta = ds,  dw = sum over rows of dy n.
#include "ops/norm.h"
#include "ops/op.h"
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

struct RmsNorm {
  Tensor x, delta, w;
  double eps;
  Tensor sum = {}, out = {};
  Tensor rstd = {};  // [rows], for the backward
};

void define(Ctx& c, RmsNorm& p) {
  p.sum = p.delta ? add(c, p.x, p.delta) : p.x;
  p.out = mul(c, p.sum, rsqrt(c, add(c, mean(c, square(c, p.sum), -1), p.eps)));
  if (p.w) p.out = mul(c, p.out, p.w);
}

using rows::data_or_null;

// Rows of w: row r of x takes number r % groups().
int64_t groups(const RmsNorm& p) { return p.w && p.w.rank() == 2 ? p.w.extent(0) : 1; }

void forward(Ctx& c, RmsNorm& p, bool) {
  const int64_t rows = rows::count(p.x), n = p.x.extent(-1), of_w = groups(p);
  p.sum = p.delta ? Tensor::empty(c, p.x.shape()) : p.x;
  p.out = Tensor::empty(c, p.x.shape());
  p.rstd = Tensor::empty(c, {rows});
  const float *x = p.x.data<float>(), *delta = data_or_null(p.delta), *w = data_or_null(p.w);
  float *sum = p.sum.data<float>(), *out = p.out.data<float>(), *rstd = p.rstd.data<float>();
  const auto eps = static_cast<float>(p.eps);
  const auto row = STEMMA_AT_LEVEL(rms_norm_row);
  c.team->run_range(rows, rows::grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      row(x + r * n, delta ? delta + r * n : nullptr, w ? w + r % of_w * n : nullptr, eps, n,
          sum + r * n, out + r * n, rstd + r);
  });
}

void backward(Ctx& c, const RmsNorm& p, std::span<const Tensor> d, Grads& g) {
  const bool wants_x = g.wants(p.x) || g.wants(p.delta), wants_w = g.wants(p.w);
  Tensor ds = d[0];
  if (d[1]) {
    const int64_t rows = rows::count(p.x), n = p.x.extent(-1), of_w = groups(p);
    if (wants_x) ds = Tensor::empty(c, p.x.shape());
    const rows::Partials partials(c, rows, wants_w ? of_w * n : 0);
    const float *dsum = data_or_null(d[0]), *dout = d[1].data<float>();
    const float *sum = p.sum.data<float>(), *w = data_or_null(p.w), *rstd = p.rstd.data<float>();
    float* to = wants_x ? ds.data<float>() : nullptr;
    const auto row = STEMMA_AT_LEVEL(rms_norm_row_backward);
    c.team->run_range(rows, partials.grain(), [&](int64_t begin, int64_t end) {
      float* dw = wants_w ? partials.piece(begin) : nullptr;
      for (int64_t r = begin; r < end; ++r)
        row(dout + r * n, sum + r * n, w ? w + r % of_w * n : nullptr, rstd[r], n,
            dsum ? dsum + r * n : nullptr, to ? to + r * n : nullptr,
            dw ? dw + r % of_w * n : nullptr);
    });
    if (wants_w) partials.add_to(c, 0, of_w * n, g.into(c, p.w).data<float>());
  }
  if (!ds) return;
  g.add(c, p.x, ds);
  g.add(c, p.delta, ds);
}

std::vector<OpCase> cases() {
  constexpr double kEps = 1e-5;
  return {{.name = "plain",
           .inputs =
               [](int64_t rows, int64_t n) {
                 return std::vector{OpInput::batch({rows, n}), OpInput::real({n})};
               },
           .run = [](Ctx& c, const Tensors& in) -> Tensors {
             return {add_rms_norm(c, in[0], {}, in[1], kEps).out};
           }},
          {.name = "with_residual",
           .inputs =
               [](int64_t rows, int64_t n) {
                 const OpInput x = OpInput::batch({rows, n});
                 return std::vector{x, x, OpInput::real({n})};
               },
           .run = [](Ctx& c, const Tensors& in) -> Tensors {
             const Normed y = add_rms_norm(c, in[0], in[1], in[2], kEps);
             return {y.sum, y.out};
           },
           .timed = true},
          {.name = "by_head",
           .inputs =
               [](int64_t rows, int64_t n) {
                 return std::vector{OpInput::batch({rows, 2, n}), OpInput::real({n})};
               },
           .run = [](Ctx& c, const Tensors& in) -> Tensors {
             return {add_rms_norm(c, in[0], {}, in[1], kEps).out};
           }},
          {.name = "by_group",
           .inputs =
               [](int64_t rows, int64_t n) {
                 return std::vector{OpInput::batch({rows, 3, n}), OpInput::real({3, n})};
               },
           .run = [](Ctx& c, const Tensors& in) -> Tensors {
             return {add_rms_norm(c, in[0], {}, in[1], kEps).out};
           }}};
}

const Op<RmsNorm> kRmsNorm{{.name = "add_rms_norm",
                            .operands = {&RmsNorm::x, &RmsNorm::delta, &RmsNorm::w},
                            .results = {&RmsNorm::sum, &RmsNorm::out},
                            .kept = {&RmsNorm::sum},
                            .define = define,
                            .forward = {{"rows", forward}},
                            .backward = {{"rows", backward}},
                            .cases = cases}};

}  // namespace

Normed add_rms_norm(Ctx& c, const Tensor& x, const Tensor& delta, const Tensor& w, double eps) {
  rows::check_same_shape("add_rms_norm", "delta", x, delta);
  if (w && w.rank() == 2)
    check(x.rank() >= 2 && w.shape() == Shape{x.extent(-2), x.extent(-1)},
          "[add_rms_norm] w has shape ", w.shape().to_string(), " where x has ",
          x.shape().to_string(), "; it must be that of the last two dimensions");
  else
    rows::check_width("add_rms_norm", "w", x, w);
  const RmsNorm p = kRmsNorm(c, {.x = x, .delta = delta, .w = w, .eps = eps});
  return {p.sum, p.out};
}

}  // namespace stemma
#endif
