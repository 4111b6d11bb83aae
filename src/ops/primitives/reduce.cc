// Reductions over one dimension, in ascending order; f32 sums are carried in f64, so that they do
// not depend on how a longer sum might be cut.
#include "ops/primitives.h"
#include "ops/primitives/map.h"

namespace stemma {
namespace {

// Seen from the reduced dimension, a contiguous tensor is [outer, n, inner].
struct Split {
  int64_t outer = 1, n, inner = 1;
  Shape reduced;
  Split(const Shape& shape, int dim) : n(shape[dim]), reduced(shape) {
    const int k = dim < 0 ? dim + shape.rank() : dim;
    for (int d = 0; d < k; ++d) outer *= shape[d];
    for (int d = k + 1; d < shape.rank(); ++d) inner *= shape[d];
    reduced[k] = 1;
  }
  int64_t grain() const { return std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, n)); }
};

}  // namespace

Tensor sum(Ctx& c, const Tensor& a, int dim) {
  const Split s(a.shape(), dim);
  Tensor dense = a.contiguous() ? a
                                : primitives::map(
                                      c, [](auto x) { return x; }, a);
  Tensor y = Tensor::empty(c, s.reduced, a.dtype());
  primitives::by_dtype(a, [&](auto type) {
    using T = decltype(type);
    const T* x = dense.data<T>();
    T* out = y.data<T>();
    c.team->run_range(s.outer * s.inner, s.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T* p = x + i / s.inner * s.n * s.inner + i % s.inner;
        double total = 0;
        for (int64_t j = 0; j < s.n; ++j) total += p[j * s.inner];
        out[i] = static_cast<T>(total);
      }
    });
  });
  primitives::tell(c, "sum", y, a);
  if (recording(c, {a}))
    c.tape->record("sum", {y}, [a](Ctx& c, std::span<const Tensor> d, Grads& g) {
      g.add(c, a, broadcast_to(c, d[0], a.shape()));
    });
  return y;
}

Tensor max(Ctx& c, const Tensor& a, int dim) {
  const Split s(a.shape(), dim);
  check(s.n > 0, "[max] over an empty dimension");
  Tensor dense = a.contiguous() ? a
                                : primitives::map(
                                      c, [](auto x) { return x; }, a);
  Tensor y = Tensor::empty(c, s.reduced, a.dtype());
  std::vector<int64_t> best(static_cast<size_t>(s.outer * s.inner));
  primitives::by_dtype(a, [&](auto type) {
    using T = decltype(type);
    const T* x = dense.data<T>();
    T* out = y.data<T>();
    c.team->run_range(s.outer * s.inner, s.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T* p = x + i / s.inner * s.n * s.inner + i % s.inner;
        int64_t at = 0;
        for (int64_t j = 1; j < s.n; ++j)
          if (p[j * s.inner] > p[at * s.inner]) at = j;
        best[static_cast<size_t>(i)] = p - x + at * s.inner;
        out[i] = p[at * s.inner];
      }
    });
  });
  primitives::tell(c, "max", y, a);
  if (recording(c, {a}))
    c.tape->record("max", {y}, [a, best](Ctx& c, std::span<const Tensor> d, Grads& g) {
      Tensor da = Tensor::zeros(c, a.shape(), a.dtype());
      Tensor dy = contiguous(c, d[0]);
      primitives::by_dtype(a, [&](auto type) {
        using T = decltype(type);
        for (size_t i = 0; i < best.size(); ++i) da.data<T>()[best[i]] = dy.data<T>()[i];
      });
      g.add(c, a, da);
    });
  return y;
}

Tensor sum_all(Ctx& c, const Tensor& a) {
  return reshape(c, sum(c, reshape(c, a, {a.elements()}), 0), {});
}

Tensor mean(Ctx& c, const Tensor& a, int dim) {
  return mul(c, sum(c, a, dim), 1.0 / static_cast<double>(a.shape()[dim]));
}

}  // namespace stemma
