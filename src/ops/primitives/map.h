// Elementwise maps over strided, broadcasting operands: the loop under every elementwise primitive.
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "autograd/tape.h"
#include "tensor/recorder.h"

namespace stemma::primitives {

// The shape both operands broadcast to, aligned at the end; an Error where they do not.
inline Shape broadcast(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  Shape out;
  for (int d = 0; d < rank; ++d) {
    const int da = d - rank + a.rank(), db = d - rank + b.rank();
    const int64_t ea = da < 0 ? 1 : a[da], eb = db < 0 ? 1 : b[db];
    check(ea == eb || ea == 1 || eb == 1, "[broadcast] shapes ", a.to_string(), " and ",
          b.to_string(), " do not fit");
    out.push_back(ea == 1 ? eb : ea);
  }
  return out;
}

// Strides of `t` seen as `shape`: 0 along broadcast dimensions.
inline Shape broadcast_strides(const Tensor& t, const Shape& shape) {
  Shape strides;
  for (int d = 0; d < shape.rank(); ++d) {
    const int own = d - shape.rank() + t.rank();
    strides.push_back(own < 0 || t.shape()[own] == 1 ? 0 : t.strides()[own]);
  }
  return strides;
}

// f(first argument of float or double type) for the dtype of `t`.
template <class F>
auto by_dtype(const Tensor& t, F&& f) {
  if (t.dtype() == DType::f64) return f(double{});
  check(t.dtype() == DType::f32, "[primitive] computes in F32 or F64, was given ",
        dtype_name(t.dtype()));
  return f(float{});
}

// Tells the recorder, if there is one, of a primitive that ran.
template <class... Tensors>
void tell(Ctx& c, const char* name, const Tensor& result, const Tensors&... operands) {
  if (!c.rec) return;
  const Tensor in[] = {operands...};
  c.rec->ran({name, "primitive", Phase::forward, in, {&result, 1}, 0});
}

// out[i] = f(inputs[i]...) with every input broadcast to `shape`.
template <class T, class F, size_t... I>
Tensor map_as(Ctx& c, const Shape& shape, F& f, const std::array<Tensor, sizeof...(I)>& in,
              std::index_sequence<I...>) {
  constexpr size_t kInputs = sizeof...(I);
  Tensor out = Tensor::empty(c, shape, dtype_of<T>());
  const int64_t n = shape.elements();
  if (n == 0) return out;
  T* y = out.data<T>();
  const std::array<const T*, kInputs> x = {in[I].template data<T>()...};
  bool flat = true;
  std::array<Shape, kInputs> strides;
  for (size_t i = 0; i < kInputs; ++i) {
    flat = flat && in[i].shape() == shape && in[i].contiguous();
    strides[i] = broadcast_strides(in[i], shape);
  }
  constexpr int64_t kGrain = 1 << 14;
  if (flat) {
    c.team->run_range(n, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = f(x[I][i]...);
    });
    return out;
  }
  const int rank = shape.rank();
  const int64_t inner = rank ? shape[rank - 1] : 1;
  const std::array<int64_t, kInputs> step = {(rank ? strides[I][rank - 1] : 0)...};
  c.team->run_range(n / inner, std::max<int64_t>(1, kGrain / inner),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t row = begin; row < end; ++row) {
                        std::array<int64_t, kInputs> at{};
                        int64_t rest = row;
                        for (int d = rank - 2; d >= 0; --d) {
                          const int64_t index = rest % shape[d];
                          rest /= shape[d];
                          ((at[I] += index * strides[I][d]), ...);
                        }
                        T* out_row = y + row * inner;
                        for (int64_t i = 0; i < inner; ++i)
                          out_row[i] = f(x[I][at[I] + i * step[I]]...);
                      }
                    });
  return out;
}

template <class F, class... Tensors>
Tensor map(Ctx& c, F f, const Tensor& first, const Tensors&... rest) {
  Shape shape = first.shape();
  ((shape = broadcast(shape, rest.shape())), ...);
  const std::array<Tensor, 1 + sizeof...(rest)> in = {first, rest...};
  for (const Tensor& t : in)
    check(t.dtype() == first.dtype(), "[primitive] operands of ", dtype_name(first.dtype()),
          " and ", dtype_name(t.dtype()));
  return by_dtype(first, [&](auto type) {
    return map_as<decltype(type)>(c, shape, f, in, std::make_index_sequence<1 + sizeof...(rest)>{});
  });
}

// Sums a gradient over the dimensions along which its operand was broadcast.
Tensor reduce_to(Ctx& c, const Tensor& gradient, const Shape& shape);

}  // namespace stemma::primitives
