// p -= lr decay p;  m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2;
// p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps).
#include "ops/adamw.h"

#include "base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/adamw.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

// Highway includes this file once per level; what all levels share is declared the first time.
#ifndef STEMMA_OPS_ADAMW_SCALARS_
#define STEMMA_OPS_ADAMW_SCALARS_
namespace stemma {
namespace {

// The step's constants, rounded to f32 as torch rounds them.
struct AdamWScalars {
  float grad_scale, keep, beta2, eps, grow_v, root_correction2, negative_step;
  // m is interpolated from the nearer end: m + w (g - m), or g + (w - 1) (g - m).
  float m_weight;
  bool from_g;
};

}  // namespace
}  // namespace stemma
#endif

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

void adamw_piece(const AdamWScalars& s, int64_t n, float* p, const float* g, float* m, float* v) {
  const hn::ScalableTag<float> d;
  const auto set = [&](float x) HWY_ATTR { return hn::Set(d, x); };
  const auto scale = set(s.grad_scale), keep = set(s.keep), m_weight = set(s.m_weight);
  const auto beta2 = set(s.beta2), grow_v = set(s.grow_v), root2 = set(s.root_correction2);
  const auto eps = set(s.eps), negative_step = set(s.negative_step);
  for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d))) {
    const int64_t k = n - i;
    const auto grad = hn::Mul(load_n(d, g + i, k), scale);
    const auto old_m = load_n(d, m + i, k);
    const auto new_m = vfma(m_weight, hn::Sub(grad, old_m), s.from_g ? grad : old_m);
    const auto new_v = vfma(hn::Mul(grow_v, grad), grad, hn::Mul(load_n(d, v + i, k), beta2));
    const auto denominator = hn::Add(hn::Div(hn::Sqrt(new_v), root2), eps);
    const auto shrunk = hn::Mul(load_n(d, p + i, k), keep);
    const auto new_p = hn::Add(shrunk, hn::Div(hn::Mul(negative_step, new_m), denominator));
    store_n(d, new_m, m + i, k);
    store_n(d, new_v, v + i, k);
    store_n(d, new_p, p + i, k);
  }
}

double squares_piece(const float* x, int64_t n) {
  // Sixteen sums at every level, as in sum16, but in f64.
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(hn::ScalableTag<double>()));
  constexpr int64_t kParts = 16 / kLanes;
  hn::Vec<decltype(d)> sums[kParts];
  for (auto& sum : sums) sum = hn::Zero(d);
  const auto add = [&](int64_t part, hn::Vec<decltype(df)> v) HWY_ATTR {
    const auto wide = hn::PromoteTo(d, v);
    sums[part] = hn::Add(sums[part], hn::Mul(wide, wide));
  };
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int64_t p = 0; p < kParts; ++p) add(p, hn::LoadU(df, x + i + p * kLanes));
  for (int64_t p = 0; p < kParts && i < n; ++p, i += kLanes) add(p, load_n(df, x + i, n - i));
  double lane[16], total = 0;
  for (int64_t p = 0; p < kParts; ++p) hn::StoreU(sums[p], d, lane + p * kLanes);
  for (double s : lane) total += s;
  return total;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(adamw_piece);
STEMMA_LEVELS(squares_piece);

constexpr int64_t kGrain = 1 << 14;

}  // namespace

void adamw_step(Team& team, const AdamW& o, int64_t step, double grad_scale, int64_t n, float* p,
                const float* g, float* m, float* v) {
  check(step >= 1, "[adamw] step ", step, "; the first is 1");
  const double correction1 = 1 - std::pow(o.beta1, static_cast<double>(step));
  const double correction2 = 1 - std::pow(o.beta2, static_cast<double>(step));
  const double weight = 1 - o.beta1;
  const bool from_g = weight >= 0.5;
  const auto f = [](double x) { return static_cast<float>(x); };
  const AdamWScalars s{.grad_scale = f(grad_scale),
                       .keep = f(1 - o.lr * o.decay),
                       .beta2 = f(o.beta2),
                       .eps = f(o.eps),
                       .grow_v = f(1 - o.beta2),
                       .root_correction2 = f(std::sqrt(correction2)),
                       .negative_step = f(-(o.lr / correction1)),
                       .m_weight = from_g ? f(weight) - 1 : f(weight),
                       .from_g = from_g};
  const auto piece = STEMMA_AT_LEVEL(adamw_piece);
  team.run_range(n, kGrain, [&](int64_t begin, int64_t end) {
    piece(s, end - begin, p + begin, g + begin, m + begin, v + begin);
  });
}

double sum_of_squares(Ctx& c, const float* x, int64_t n) {
  PoolVector<double> pieces(static_cast<size_t>((n + kGrain - 1) / kGrain), c.pool);
  const auto piece = STEMMA_AT_LEVEL(squares_piece);
  c.team->run_range(n, kGrain, [&](int64_t begin, int64_t end) {
    pieces[static_cast<size_t>(begin / kGrain)] = piece(x + begin, end - begin);
  });
  double total = 0;
  for (double s : pieces) total += s;
  return total;
}

}  // namespace stemma
#endif
