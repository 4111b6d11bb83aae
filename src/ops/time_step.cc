// softplus(v) = log(1 + exp v) = max(v, 0) + log(1 + e), e = exp(-|v|), by Kahan's quotient
// e log(u) / (u - 1), u = 1 + e rounded, which keeps the small steps exact.
// Gradient: dx = dy sigmoid(v) within the bounds, 0 outside; db = sum over rows of dx.
#include "ops/time_step.h"

#include "ops/op.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/time_step.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

template <class D, class V>
HWY_INLINE V softplus(D d, V v) {
  const auto one = hn::Set(d, 1.0f), zero = hn::Zero(d);
  const auto e = vexp(d, hn::Neg(hn::Abs(v))), u = hn::Add(one, e), over = hn::Sub(u, one);
  const auto log1p = hn::IfThenElse(hn::Eq(over, zero), e, hn::Div(hn::Mul(vlog(d, u), e), over));
  return hn::Add(hn::IfThenElse(hn::Lt(v, zero), zero, v), log1p);  // NaN stays
}

void step_row(const float* x, const float* b, float low, float high, int64_t n, float* y) {
  const hn::ScalableTag<float> d;
  for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d))) {
    const int64_t m = n - i;
    auto v = load_n(d, x + i, m);
    if (b) v = hn::Add(v, load_n(d, b + i, m));
    const auto step = softplus(d, v), least = hn::Set(d, low), most = hn::Set(d, high);
    const auto capped = hn::IfThenElse(hn::Gt(step, most), most, step);
    store_n(d, hn::IfThenElse(hn::Lt(capped, least), least, capped), y + i, m);
  }
}

void step_row_backward(const float* x, const float* b, float low, float high, const float* dy,
                       int64_t n, float* dx, float* db) {
  const hn::ScalableTag<float> d;
  for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d))) {
    const int64_t m = n - i;
    auto v = load_n(d, x + i, m);
    if (b) v = hn::Add(v, load_n(d, b + i, m));
    const auto step = softplus(d, v);
    const auto out = hn::Or(hn::Gt(step, hn::Set(d, high)), hn::Lt(step, hn::Set(d, low)));
    const auto grad =
        hn::IfThenElse(out, hn::Zero(d), hn::Mul(load_n(d, dy + i, m), vsigmoid(d, v)));
    store_n(d, grad, dx + i, m);
    if (db) store_n(d, hn::Add(load_n(d, db + i, m), grad), db + i, m);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(step_row);
STEMMA_LEVELS(step_row_backward);

struct TimeStep {
  Tensor x, b;
  double low, high;
  Tensor y = {};
};

// log(1 + e) for e in [0, 1]: a series where 1 + e would lose what counts.
Tensor log1p(Ctx& c, const Tensor& e) {
  constexpr double kSmall = 1.0 / 16;
  constexpr int kTerms = 13;
  Tensor series = mul(c, e, 1.0 / kTerms);
  for (int k = kTerms - 1; k >= 1; --k) series = mul(c, e, add(c, neg(c, series), 1.0 / k));
  return where(c, less_equal(c, e, Tensor::scalar(c, kSmall, e.dtype())), series,
               log(c, add(c, e, 1)));
}

void define(Ctx& c, TimeStep& p) {
  const Tensor v = p.b ? add(c, p.x, p.b) : p.x;
  auto constant = [&](double value) { return Tensor::scalar(c, value, p.x.dtype()); };
  p.y = add(c, maximum(c, v, constant(0)), log1p(c, exp(c, neg(c, abs(c, v)))));
  if (std::isfinite(p.high)) p.y = neg(c, maximum(c, neg(c, p.y), constant(-p.high)));
  if (p.low > 0) p.y = maximum(c, p.y, constant(p.low));
}

void forward(Ctx& c, TimeStep& p, bool) {
  p.y = Tensor::empty(c, p.x.shape());
  const float* b = rows::data_or_null(p.b);
  const auto low = static_cast<float>(p.low), high = static_cast<float>(p.high);
  const auto run = STEMMA_AT_LEVEL(step_row);
  rows::each(c, p.y, [&](int64_t row, int64_t n) {
    run(rows::at(p.x, row), b, low, high, n, rows::at(p.y, row));
  });
}

void backward(Ctx& c, const TimeStep& p, std::span<const Tensor> d, Grads& g) {
  const int64_t n = p.x.extent(-1);
  const Tensor dx = Tensor::empty(c, p.x.shape());
  const bool wants_b = g.wants(p.b);
  const rows::Partials partials(c, rows::count(p.x), wants_b ? n : 0);
  const float* b = rows::data_or_null(p.b);
  const auto low = static_cast<float>(p.low), high = static_cast<float>(p.high);
  const auto run = STEMMA_AT_LEVEL(step_row_backward);
  c.team->run_range(rows::count(p.x), partials.grain(), [&](int64_t begin, int64_t end) {
    float* db = wants_b ? partials.piece(begin) : nullptr;
    for (int64_t r = begin; r < end; ++r)
      run(rows::at(p.x, r), b, low, high, rows::at(d[0], r), n, rows::at(dx, r), db);
  });
  if (wants_b) partials.add_to(c, 0, n, g.into(c, p.b).data<float>());
  g.add(c, p.x, dx);
}

std::vector<OpCase> cases() {
  return {{.name = "free",
           .inputs =
               [](int64_t rows, int64_t n) {
                 return std::vector{OpInput::batch({rows, n}).between(-12, 25), OpInput::real({n})};
               },
           .run = [](Ctx& c, const Tensors& in) -> Tensors {
             return {time_step(c, in[0], in[1], 0, HUGE_VAL)};
           },
           .timed = true},
          {.name = "bounded",
           .inputs =
               [](int64_t rows, int64_t n) {
                 return std::vector{OpInput::batch({rows, n})};
               },
           .run = [](Ctx& c, const Tensors& in) -> Tensors {
             return {time_step(c, in[0], {}, 0.4, 1.3)};
           }}};
}

const Op<TimeStep> kTimeStep{{.name = "time_step",
                              .operands = {&TimeStep::x, &TimeStep::b},
                              .results = {&TimeStep::y},
                              .reads = rows::apart,
                              .define = define,
                              .forward = {{"rows", forward}},
                              .backward = {{"rows", backward}},
                              .cases = cases}};

}  // namespace

Tensor time_step(Ctx& c, const Tensor& x, const Tensor& b, double low, double high) {
  rows::check_width("time_step", "b", x, b);
  check(low >= 0 && low <= high, "[time_step] bounds ", low, " and ", high,
        "; they must be 0 <= low <= high");
  return kTimeStep(c, {.x = x, .b = b, .low = low, .high = high}).y;
}

}  // namespace stemma
#endif
