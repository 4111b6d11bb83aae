// y = f(gate) up, elementwise. Gradient: dgate = dy up f'(gate), dup = dy f(gate).
#include "ops/glu.h"

#include "ops/primitives.h"
#include "ops/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/glu.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"
// After the two above, in this order.
#include "ops/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

void gate_units(Activation kind, const float* gate, const float* up, float* y, int64_t n) {
  const activations::D d;
  activations::with_activation(kind, [&](auto f) HWY_ATTR {
    for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d))) {
      const int64_t m = n - i;
      store_n(d, hn::Mul(f.value(load_n(d, gate + i, m)), load_n(d, up + i, m)), y + i, m);
    }
  });
}

void gate_units_backward(Activation kind, const float* gate, const float* up, const float* dy,
                         float* dgate, float* dup, int64_t n) {
  const activations::D d;
  activations::with_activation(kind, [&](auto f) HWY_ATTR {
    for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d))) {
      const int64_t m = n - i;
      const auto x = load_n(d, gate + i, m), g = load_n(d, dy + i, m);
      store_n(d, hn::Mul(hn::Mul(g, load_n(d, up + i, m)), f.slope(x)), dgate + i, m);
      store_n(d, hn::Mul(g, f.value(x)), dup + i, m);
    }
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(gate_units);
STEMMA_LEVELS(gate_units_backward);

constexpr int64_t kGrain = 1 << 14;

Tensor define(Ctx& c, const Tensor& gate, const Tensor& up, Activation kind) {
  return mul(c, activation(c, gate, kind), up);
}

}  // namespace

Tensor glu(Ctx& c, const Tensor& gate_in, const Tensor& up_in, Activation kind) {
  check(gate_in.shape() == up_in.shape(), "[glu] gate has shape ", gate_in.shape().to_string(),
        " and up ", up_in.shape().to_string(), "; they must be alike");
  if (!rows::use_kernel(c, gate_in)) return define(c, gate_in, up_in, kind);
  const Tensor gate = contiguous(c, gate_in), up = contiguous(c, up_in);
  const Tensor y = Tensor::empty(c, gate.shape());
  const float *pg = gate.data<float>(), *pu = up.data<float>();
  float* py = y.data<float>();
  const auto run = STEMMA_AT_LEVEL(gate_units);
  c.team->run_range(y.elements(), kGrain, [&](int64_t begin, int64_t end) {
    run(kind, pg + begin, pu + begin, py + begin, end - begin);
  });
  if (recording(c, {gate, up}))
    c.tape->record("glu", {y}, [gate, up, kind](Ctx& c, std::span<const Tensor> d, Grads& g) {
      const Tensor dy = contiguous(c, d[0]);
      const Tensor dgate = Tensor::empty(c, gate.shape()), dup = Tensor::empty(c, gate.shape());
      const float *pg = gate.data<float>(), *pu = up.data<float>(), *pdy = dy.data<float>();
      float *pdg = dgate.data<float>(), *pdu = dup.data<float>();
      const auto run = STEMMA_AT_LEVEL(gate_units_backward);
      c.team->run_range(dy.elements(), kGrain, [&](int64_t begin, int64_t end) {
        run(kind, pg + begin, pu + begin, pdy + begin, pdg + begin, pdu + begin, end - begin);
      });
      g.add(c, gate, dgate);
      g.add(c, up, dup);
    });
  return y;
}

}  // namespace stemma
#endif
