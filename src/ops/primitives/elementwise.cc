// Elementwise primitives. Beside each forward stands its derivative; gradients of broadcast
// operands are summed back to the operand's shape.
#include <cmath>

#include "ops/primitives.h"
#include "ops/primitives/map.h"

namespace stemma {

using primitives::broadcast;
using primitives::map;
using primitives::reduce_to;
using primitives::tell;

Tensor primitives::reduce_to(Ctx& c, const Tensor& gradient, const Shape& shape) {
  Tensor g = gradient;
  const int extra = g.rank() - shape.rank();
  for (int d = 0; d < gradient.rank(); ++d)
    if (d < extra || (shape[d - extra] == 1 && g.shape()[d] != 1)) g = sum(c, g, d);
  return g.shape() == shape ? g : reshape(c, g, shape);
}

namespace {

// derivative(x, y) is dy/dx.
template <class F, class D>
Tensor unary(Ctx& c, const char* name, const Tensor& x, F f, D derivative) {
  Tensor y = map(c, f, x);
  tell(c, name, y, x);
  if (recording(c, {x}))
    c.tape->record(name, {y}, [x, y, derivative](Ctx& c, std::span<const Tensor> d, Grads& g) {
      g.add(c, x,
            map(
                c, [&](auto v, auto w, auto dw) { return dw * derivative(v, w); }, x, y, d[0]));
    });
  return y;
}

// da(x, y, d) and db(x, y, d) are the gradients of the two operands.
template <class F, class DA, class DB>
Tensor binary(Ctx& c, const char* name, const Tensor& a, const Tensor& b, F f, DA da, DB db) {
  Tensor y = map(c, f, a, b);
  tell(c, name, y, a, b);
  if (recording(c, {a, b}))
    c.tape->record(name, {y}, [a, b, da, db](Ctx& c, std::span<const Tensor> d, Grads& g) {
      if (g.wants(a)) g.add(c, a, reduce_to(c, map(c, da, a, b, d[0]), a.shape()));
      if (g.wants(b)) g.add(c, b, reduce_to(c, map(c, db, a, b, d[0]), b.shape()));
    });
  return y;
}

}  // namespace

Tensor add(Ctx& c, const Tensor& a, const Tensor& b) {
  return binary(
      c, "add", a, b, [](auto x, auto y) { return x + y; }, [](auto, auto, auto d) { return d; },
      [](auto, auto, auto d) { return d; });
}

Tensor sub(Ctx& c, const Tensor& a, const Tensor& b) {
  return binary(
      c, "sub", a, b, [](auto x, auto y) { return x - y; }, [](auto, auto, auto d) { return d; },
      [](auto, auto, auto d) { return -d; });
}

Tensor mul(Ctx& c, const Tensor& a, const Tensor& b) {
  return binary(
      c, "mul", a, b, [](auto x, auto y) { return x * y; },
      [](auto, auto y, auto d) { return d * y; }, [](auto x, auto, auto d) { return d * x; });
}

Tensor div(Ctx& c, const Tensor& a, const Tensor& b) {
  return binary(
      c, "div", a, b, [](auto x, auto y) { return x / y; },
      [](auto, auto y, auto d) { return d / y; },
      [](auto x, auto y, auto d) { return -d * x / (y * y); });
}

Tensor maximum(Ctx& c, const Tensor& a, const Tensor& b) {
  return binary(
      c, "maximum", a, b, [](auto x, auto y) { return x >= y ? x : y; },
      [](auto x, auto y, auto d) { return x >= y ? d : 0 * d; },
      [](auto x, auto y, auto d) { return x >= y ? 0 * d : d; });
}

Tensor less_equal(Ctx& c, const Tensor& a, const Tensor& b) {
  return map(
      c, [](auto x, auto y) { return static_cast<decltype(x)>(x <= y ? 1 : 0); }, a, b);
}

Tensor where(Ctx& c, const Tensor& mask, const Tensor& a, const Tensor& b) {
  Tensor y = map(
      c, [](auto m, auto x, auto z) { return m != 0 ? x : z; }, mask, a, b);
  tell(c, "where", y, mask, a, b);
  if (recording(c, {a, b}))
    c.tape->record("where", {y}, [mask, a, b](Ctx& c, std::span<const Tensor> d, Grads& g) {
      auto on = [](auto m, auto v) { return m != 0 ? v : 0 * v; };
      auto off = [](auto m, auto v) { return m != 0 ? 0 * v : v; };
      if (g.wants(a)) g.add(c, a, reduce_to(c, map(c, on, mask, d[0]), a.shape()));
      if (g.wants(b)) g.add(c, b, reduce_to(c, map(c, off, mask, d[0]), b.shape()));
    });
  return y;
}

Tensor add(Ctx& c, const Tensor& a, double b) {
  return unary(
      c, "add_constant", a, [b](auto x) { return x + static_cast<decltype(x)>(b); },
      [](auto x, auto) { return decltype(x)(1); });
}

Tensor mul(Ctx& c, const Tensor& a, double b) {
  return unary(
      c, "mul_constant", a, [b](auto x) { return x * static_cast<decltype(x)>(b); },
      [b](auto x, auto) { return static_cast<decltype(x)>(b); });
}

Tensor neg(Ctx& c, const Tensor& a) {
  return unary(
      c, "neg", a, [](auto x) { return -x; }, [](auto x, auto) { return decltype(x)(-1); });
}

Tensor square(Ctx& c, const Tensor& a) {
  return unary(
      c, "square", a, [](auto x) { return x * x; }, [](auto x, auto) { return 2 * x; });
}

Tensor exp(Ctx& c, const Tensor& a) {
  return unary(
      c, "exp", a, [](auto x) { return std::exp(x); }, [](auto, auto y) { return y; });
}

Tensor log(Ctx& c, const Tensor& a) {
  return unary(
      c, "log", a, [](auto x) { return std::log(x); }, [](auto x, auto) { return 1 / x; });
}

Tensor sqrt(Ctx& c, const Tensor& a) {
  return unary(
      c, "sqrt", a, [](auto x) { return std::sqrt(x); },
      [](auto, auto y) { return decltype(y)(0.5) / y; });
}

Tensor rsqrt(Ctx& c, const Tensor& a) {
  return unary(
      c, "rsqrt", a, [](auto x) { return 1 / std::sqrt(x); },
      [](auto, auto y) { return decltype(y)(-0.5) * y * y * y; });
}

Tensor tanh(Ctx& c, const Tensor& a) {
  return unary(
      c, "tanh", a, [](auto x) { return std::tanh(x); }, [](auto, auto y) { return 1 - y * y; });
}

Tensor erf(Ctx& c, const Tensor& a) {
  return unary(
      c, "erf", a, [](auto x) { return std::erf(x); },
      [](auto x, auto) { return decltype(x)(1.1283791670955126) * std::exp(-x * x); });
}

Tensor sin(Ctx& c, const Tensor& a) {
  return unary(
      c, "sin", a, [](auto x) { return std::sin(x); }, [](auto x, auto) { return std::cos(x); });
}

Tensor cos(Ctx& c, const Tensor& a) {
  return unary(
      c, "cos", a, [](auto x) { return std::cos(x); }, [](auto x, auto) { return -std::sin(x); });
}

Tensor abs(Ctx& c, const Tensor& a) {
  return unary(
      c, "abs", a, [](auto x) { return std::abs(x); },
      [](auto x, auto) { return decltype(x)((x > 0) - (x < 0)); });
}

Tensor cast(Ctx& c, const Tensor& a, DType dtype) {
  if (a.dtype() == dtype) return a;
  check(dtype == DType::f32 || dtype == DType::f64, "[cast] to ", dtype_name(dtype));
  Tensor dense = contiguous(c, a), y = Tensor::empty(c, a.shape(), dtype);
  const int64_t n = a.elements();
  auto copy = [&](const auto* from, auto* to) {
    for (int64_t i = 0; i < n; ++i)
      to[i] = static_cast<std::remove_reference_t<decltype(*to)>>(from[i]);
  };
  if (a.dtype() == DType::i32 && dtype == DType::f32)
    copy(dense.data<int32_t>(), y.data<float>());
  else if (a.dtype() == DType::i32)
    copy(dense.data<int32_t>(), y.data<double>());
  else if (dtype == DType::f64)
    copy(dense.data<float>(), y.data<double>());
  else
    copy(dense.data<double>(), y.data<float>());
  tell(c, "cast", y, a);
  if (recording(c, {a}))
    c.tape->record("cast", {y}, [a](Ctx& c, std::span<const Tensor> d, Grads& g) {
      g.add(c, a, cast(c, d[0], a.dtype()));
    });
  return y;
}

}  // namespace stemma
