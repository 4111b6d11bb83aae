// y = exp(x - max) / sum exp(x - max); log y = x - max - log sum exp(x - max). Accumulates in f32.
// Gradient: softmax  dx = y (dy - sum(dy y));  logarithm, with z = log y,  dx = dz - exp(z)
// sum(dz).
#include "ops/softmax.h"

#include "ops/op.h"
#include "ops/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/softmax.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"
// After the two above, in this order.
#include "ops/row_exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

void softmax_row(const float* x, int64_t n, float* y) {
  const hn::ScalableTag<float> d;
  const auto total = hn::Set(d, sum_exp(x, row_max(x, n), n, y));
  for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d)))
    store_n(d, hn::Div(load_n(d, y + i, n - i), total), y + i, n - i);
}

void softmax_row_backward(const float* y, const float* dy, int64_t n, float* dx) {
  const hn::ScalableTag<float> d;
  const auto total = hn::Set(d, sum16(d, n, [&](int64_t i, int64_t m) HWY_ATTR {
                               return hn::Mul(load_n(d, y + i, m), load_n(d, dy + i, m));
                             }));
  for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d))) {
    const int64_t m = n - i;
    const auto difference = hn::Sub(load_n(d, dy + i, m), total);
    store_n(d, hn::Mul(load_n(d, y + i, m), difference), dx + i, m);
  }
}

void log_softmax_row(const float* x, int64_t n, float* y) {
  const hn::ScalableTag<float> d;
  const float most = row_max(x, n);
  const auto top = hn::Set(d, most), log_sum = vlog(d, hn::Set(d, sum_exp(x, most, n, nullptr)));
  for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d)))
    store_n(d, hn::Sub(hn::Sub(load_n(d, x + i, n - i), top), log_sum), y + i, n - i);
}

void log_softmax_row_backward(const float* y, const float* dy, int64_t n, float* dx) {
  const hn::ScalableTag<float> d;
  const auto total =
      hn::Set(d, sum16(d, n, [&](int64_t i, int64_t m) HWY_ATTR { return load_n(d, dy + i, m); }));
  for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d))) {
    const int64_t m = n - i;
    const auto p = vexp(d, load_n(d, y + i, m));
    store_n(d, vfnma(p, total, load_n(d, dy + i, m)), dx + i, m);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(softmax_row);
STEMMA_LEVELS(softmax_row_backward);
STEMMA_LEVELS(log_softmax_row);
STEMMA_LEVELS(log_softmax_row_backward);

// The maximum is a constant here: a new handle, which no tape knows. The result does not depend on
// it, so nor does the gradient.
Tensor less_max(Ctx& c, const Tensor& x) {
  const Tensor top = max(c, x.view(x.shape(), x.strides()), -1);
  return sub(c, x, top);
}

struct Softmax {
  Tensor x;
  Tensor y = {};
};

void define_softmax(Ctx& c, Softmax& p) {
  const Tensor e = exp(c, less_max(c, p.x));
  p.y = div(c, e, sum(c, e, -1));
}

void define_log_softmax(Ctx& c, Softmax& p) {
  const Tensor below = less_max(c, p.x);
  p.y = sub(c, below, log(c, sum(c, exp(c, below), -1)));
}

using Row = void (*)(const float* x, int64_t n, float* y);
using RowBackward = void (*)(const float* y, const float* dy, int64_t n, float* dx);

void forward(Ctx& c, Softmax& p, Row row) {
  p.y = Tensor::empty(c, p.x.shape());
  const int64_t n = p.x.extent(-1);
  const float* x = p.x.data<float>();
  float* y = p.y.data<float>();
  c.team->run_range(rows::count(p.x), rows::grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) row(x + r * n, n, y + r * n);
  });
}

void backward(Ctx& c, const Softmax& p, const Tensor& dout, Grads& g, RowBackward row) {
  const Tensor dx = Tensor::empty(c, p.x.shape());
  const int64_t n = p.x.extent(-1);
  const float *y = p.y.data<float>(), *dy = dout.data<float>();
  float* to = dx.data<float>();
  c.team->run_range(rows::count(p.x), rows::grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) row(y + r * n, dy + r * n, n, to + r * n);
  });
  g.add(c, p.x, dx);
}

template <Tensor (*op)(Ctx&, const Tensor&)>
std::vector<OpCase> cases() {
  const auto run = [](Ctx& c, const Tensors& in) -> Tensors { return {op(c, in[0])}; };
  return {{.name = "rows",
           .inputs =
               [](int64_t rows, int64_t n) {
                 return std::vector{OpInput::batch({rows, n})};
               },
           .run = run,
           .smallest = 1,
           .timed = true},
          {.name = "rank_3",
           .inputs =
               [](int64_t rows, int64_t n) {
                 return std::vector{OpInput::batch({rows, 2, n})};
               },
           .run = run,
           .smallest = 1}};
}

const Op<Softmax> kSoftmax{
    {.name = "softmax",
     .operands = {&Softmax::x},
     .results = {&Softmax::y},
     .kept = {&Softmax::y},
     .define = define_softmax,
     .forward = {{"rows",
                  [](Ctx& c, Softmax& p, bool) { forward(c, p, STEMMA_AT_LEVEL(softmax_row)); }}},
     .backward = {{"rows",
                   [](Ctx& c, const Softmax& p, std::span<const Tensor> d, Grads& g) {
                     backward(c, p, d[0], g, STEMMA_AT_LEVEL(softmax_row_backward));
                   }}},
     .cases = cases<softmax>}};

const Op<Softmax> kLogSoftmax{
    {.name = "log_softmax",
     .operands = {&Softmax::x},
     .results = {&Softmax::y},
     .kept = {&Softmax::y},
     .define = define_log_softmax,
     .forward = {{"rows", [](Ctx& c, Softmax& p,
                             bool) { forward(c, p, STEMMA_AT_LEVEL(log_softmax_row)); }}},
     .backward = {{"rows",
                   [](Ctx& c, const Softmax& p, std::span<const Tensor> d, Grads& g) {
                     backward(c, p, d[0], g, STEMMA_AT_LEVEL(log_softmax_row_backward));
                   }}},
     .cases = cases<log_softmax>}};

}  // namespace

Tensor softmax(Ctx& c, const Tensor& x) {
  check(x.extent(-1) > 0, "[softmax] over an empty dimension");
  return kSoftmax(c, {.x = x}).y;
}

Tensor log_softmax(Ctx& c, const Tensor& x) {
  check(x.extent(-1) > 0, "[log_softmax] over an empty dimension");
  return kLogSoftmax(c, {.x = x}).y;
}

}  // namespace stemma
#endif
