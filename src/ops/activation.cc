// y = f(x), elementwise. Gradient: dx = dy f'(x); the slopes stand in activation-inl.h.
#include "ops/activation.h"

#include "ops/op.h"
#include "ops/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/activation.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"
// After the two above, in this order.
#include "simd/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

void activate(Activation kind, const float* x, float* y, int64_t n) {
  const activations::D d;
  activations::with_activation(kind, [&](auto f) HWY_ATTR {
    for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d)))
      store_n(d, f.value(load_n(d, x + i, n - i)), y + i, n - i);
  });
}

void activate_backward(Activation kind, const float* x, const float* dy, float* dx, int64_t n) {
  const activations::D d;
  activations::with_activation(kind, [&](auto f) HWY_ATTR {
    for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d)))
      store_n(d, hn::Mul(load_n(d, dy + i, n - i), f.slope(load_n(d, x + i, n - i))), dx + i,
              n - i);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(activate);
STEMMA_LEVELS(activate_backward);

constexpr Activation kAll[] = {
    Activation::gelu, Activation::gelu_tanh, Activation::gelu_10, Activation::quick_gelu,
    Activation::silu, Activation::relu,      Activation::relu2,   Activation::relu6,
    Activation::tanh, Activation::sigmoid,   Activation::mish,    Activation::identity,
};

struct Name {
  std::string_view name;
  Activation kind;
};
// The first name of a kind is the one we write.
constexpr Name kNames[] = {
    {"gelu", Activation::gelu},
    {"gelu_python", Activation::gelu},
    {"gelu_new", Activation::gelu_tanh},
    {"gelu_pytorch_tanh", Activation::gelu_tanh},
    {"gelu_python_tanh", Activation::gelu_tanh},
    {"gelu_fast", Activation::gelu_tanh},
    {"gelu_10", Activation::gelu_10},
    {"quick_gelu", Activation::quick_gelu},
    {"silu", Activation::silu},
    {"swish", Activation::silu},
    {"relu", Activation::relu},
    {"relu2", Activation::relu2},
    {"relu6", Activation::relu6},
    {"tanh", Activation::tanh},
    {"sigmoid", Activation::sigmoid},
    {"mish", Activation::mish},
    {"linear", Activation::identity},
};

Tensor define_sigmoid(Ctx& c, const Tensor& x) {  // by tanh: no overflow, nor in the gradient
  return mul(c, add(c, tanh(c, mul(c, x, 0.5)), 1), 0.5);
}

Tensor define_relu(Ctx& c, const Tensor& x) {
  return maximum(c, Tensor::scalar(c, 0, x.dtype()), x);  // in this order, the slope at 0 is 0
}

Tensor define_at_most(Ctx& c, const Tensor& x, double top) {
  return neg(c, maximum(c, neg(c, x), Tensor::scalar(c, -top, x.dtype())));
}

Tensor define_gelu(Ctx& c, const Tensor& x) {
  return mul(c, x, mul(c, add(c, erf(c, mul(c, x, 0.70710678118654752)), 1), 0.5));
}

Tensor value(Ctx& c, const Tensor& x, Activation kind) {
  switch (kind) {
    case Activation::gelu:
      return define_gelu(c, x);
    case Activation::gelu_tanh: {
      const Tensor cube = mul(c, x, square(c, x));
      const Tensor u = mul(c, add(c, x, mul(c, cube, 0.044715)), 0.79788456080286536);
      return mul(c, mul(c, x, 0.5), add(c, tanh(c, u), 1));
    }
    case Activation::gelu_10:
      return define_at_most(c, define_gelu(c, x), 10);
    case Activation::quick_gelu:
      return mul(c, x, define_sigmoid(c, mul(c, x, 1.702)));
    case Activation::silu:
      return mul(c, x, define_sigmoid(c, x));
    case Activation::relu:
      return define_relu(c, x);
    case Activation::relu2:
      return square(c, define_relu(c, x));
    case Activation::relu6:
      return define_at_most(c, define_relu(c, x), 6);
    case Activation::tanh:
      return tanh(c, x);
    case Activation::sigmoid:
      return define_sigmoid(c, x);
    case Activation::mish: {  // log(1 + exp(x)) = relu(x) + log(1 + exp(-|x|))
      const Tensor rest = log(c, add(c, exp(c, neg(c, abs(c, x))), 1));
      return mul(c, x, tanh(c, add(c, define_relu(c, x), rest)));
    }
    case Activation::identity:
      return x;
  }
  return {};
}

struct Call {
  Tensor x;
  Activation kind;
  Tensor y = {};
};

void define(Ctx& c, Call& p) { p.y = value(c, p.x, p.kind); }

void forward(Ctx& c, Call& p, bool) {
  p.y = Tensor::empty(c, p.x.shape());
  const float* x = p.x.data<float>();
  float* y = p.y.data<float>();
  const auto run = STEMMA_AT_LEVEL(activate);
  c.team->run_range(p.x.elements(), rows::kGrain, [&](int64_t begin, int64_t end) {
    run(p.kind, x + begin, y + begin, end - begin);
  });
}

void backward(Ctx& c, const Call& p, std::span<const Tensor> d, Grads& g) {
  const Tensor dx = Tensor::empty(c, p.x.shape());
  const float *x = p.x.data<float>(), *dy = d[0].data<float>();
  float* to = dx.data<float>();
  const auto run = STEMMA_AT_LEVEL(activate_backward);
  c.team->run_range(p.x.elements(), rows::kGrain, [&](int64_t begin, int64_t end) {
    run(p.kind, x + begin, dy + begin, to + begin, end - begin);
  });
  g.add(c, p.x, dx);
}

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (Activation kind : kAll)
    all.push_back({.name = std::string(activation_name(kind)),
                   .inputs =
                       [](int64_t rows, int64_t n) {  // both clips, and both saturated ends
                         return std::vector{OpInput::batch({rows, n}).between(-12, 12)};
                       },
                   .run = [kind](Ctx& c, const Tensors& in) -> Tensors {
                     return {activation(c, in[0], kind)};
                   },
                   .timed = kind != Activation::identity});
  return all;
}

const Op<Call> kActivation{{.name = "activation",
                            .operands = {&Call::x},
                            .results = {&Call::y},
                            .define = define,
                            .forward = {{"vector", forward}},
                            .backward = {{"vector", backward}},
                            .cases = cases}};

}  // namespace

Activation activation_from_name(std::string_view name) {
  std::string known;
  for (const Name& n : kNames) {
    if (n.name == name) return n.kind;
    known += cat(known.empty() ? "" : ", ", n.name);
  }
  fail(Code::kUnsupported, "[activation] \"", name, "\" is not known; known are ", known);
}

std::string_view activation_name(Activation kind) {
  for (const Name& n : kNames)
    if (n.kind == kind) return n.name;
  return {};
}

std::span<const Activation> all_activations() { return kAll; }

Tensor activation(Ctx& c, const Tensor& x, Activation kind) {
  if (kind == Activation::identity) return x;
  return kActivation(c, {.x = x, .kind = kind}).y;
}

}  // namespace stemma
#endif
