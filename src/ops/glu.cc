// y = f(gate) up, elementwise. Gradient: dgate = dy up f'(gate), dup = dy f(gate).
#include "ops/glu.h"

#include "ops/op.h"
#include "ops/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/glu.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"
// After the two above, in this order.
#include "simd/activation-inl.h"

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

struct Glu {
  Tensor gate, up;
  Activation kind;
  Tensor y = {};
};

void define(Ctx& c, Glu& p) { p.y = mul(c, activation(c, p.gate, p.kind), p.up); }

void forward(Ctx& c, Glu& p, bool) {
  p.y = Tensor::empty(c, p.gate.shape());
  const auto run = STEMMA_AT_LEVEL(gate_units);
  rows::each(c, p.y, [&](int64_t row, int64_t n) {
    run(p.kind, rows::at(p.gate, row), rows::at(p.up, row), rows::at(p.y, row), n);
  });
}

void backward(Ctx& c, const Glu& p, std::span<const Tensor> d, Grads& g) {
  const Tensor dgate = Tensor::empty(c, p.gate.shape()), dup = Tensor::empty(c, p.gate.shape());
  const auto run = STEMMA_AT_LEVEL(gate_units_backward);
  rows::each(c, dgate, [&](int64_t row, int64_t n) {
    run(p.kind, rows::at(p.gate, row), rows::at(p.up, row), rows::at(d[0], row),
        rows::at(dgate, row), rows::at(dup, row), n);
  });
  g.add(c, p.gate, dgate);
  g.add(c, p.up, dup);
}

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (Activation kind : all_activations())
    all.push_back({.name = std::string(activation_name(kind)),
                   .inputs =
                       [](int64_t rows, int64_t n) {
                         const OpInput x = OpInput::batch({rows, n});
                         return std::vector{x.between(-12, 12), x};
                       },
                   .run = [kind](Ctx& c, const Tensors& in) -> Tensors {
                     return {glu(c, in[0], in[1], kind)};
                   },
                   .timed = kind == Activation::silu});
  return all;
}

const Op<Glu> kGlu{{.name = "glu",
                    .operands = {&Glu::gate, &Glu::up},
                    .results = {&Glu::y},
                    .reads = rows::apart,
                    .define = define,
                    .forward = {{"vector", forward}},
                    .backward = {{"vector", backward}},
                    .cases = cases}};

}  // namespace

Tensor glu(Ctx& c, const Tensor& gate, const Tensor& up, Activation kind) {
  check(gate.shape() == up.shape(), "[glu] gate has shape ", gate.shape().to_string(), " and up ",
        up.shape().to_string(), "; they must be alike");
  return kGlu(c, {.gate = gate, .up = up, .kind = kind}).y;
}

}  // namespace stemma
#endif
