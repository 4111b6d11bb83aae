// Matrix product, [..., M, K] x [..., K, N]: the reference every gemm kernel is checked against.
// dA = dY B^T, dB = A^T dY, summed over broadcast leading dimensions.
#include "ops/primitives.h"
#include "ops/primitives/map.h"

namespace stemma {

Tensor matmul(Ctx& c, const Tensor& a, const Tensor& b) {
  check(a.rank() >= 2 && b.rank() >= 2 && a.shape()[-1] == b.shape()[-2] && a.dtype() == b.dtype(),
        "[matmul] ", a.shape().to_string(), " x ", b.shape().to_string());
  const int64_t m = a.shape()[-2], k = a.shape()[-1], n = b.shape()[-1];
  auto leading = [](const Tensor& t) {
    Shape s;
    for (int d = 0; d < t.rank() - 2; ++d) s.push_back(t.shape()[d]);
    return s;
  };
  Shape batch = primitives::broadcast(leading(a), leading(b));
  auto dense = [&](const Tensor& t, int64_t rows, int64_t cols) {
    Shape full = batch;
    full.push_back(rows);
    full.push_back(cols);
    Tensor wide = t.view(full, primitives::broadcast_strides(t, full));
    return wide.contiguous() ? wide
                             : primitives::map(
                                   c, [](auto x) { return x; }, wide);
  };
  const Tensor da = dense(a, m, k), db = dense(b, k, n);
  Shape shape = batch;
  shape.push_back(m);
  shape.push_back(n);
  Tensor y = Tensor::zeros(c, shape, a.dtype());
  primitives::by_dtype(a, [&](auto type) {
    using T = decltype(type);
    const T *pa = da.data<T>(), *pb = db.data<T>();
    T* py = y.data<T>();
    const int64_t grain = std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, k * n));
    c.team->run_range(batch.elements() * m, grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const T* x = pa + row * k;
        const T* w = pb + row / m * k * n;
        T* out = py + row * n;
        for (int64_t i = 0; i < k; ++i)
          for (int64_t j = 0; j < n; ++j) out[j] += x[i] * w[i * n + j];
      }
    });
  });
  primitives::tell(c, "matmul", y, a, b);
  if (recording(c, {a, b}))
    c.tape->record("matmul", {y}, [a, b](Ctx& c, std::span<const Tensor> d, Grads& g) {
      if (g.wants(a))
        g.add(c, a, primitives::reduce_to(c, matmul(c, d[0], transpose(c, b, -2, -1)), a.shape()));
      if (g.wants(b))
        g.add(c, b, primitives::reduce_to(c, matmul(c, transpose(c, a, -2, -1), d[0]), b.shape()));
    });
  return y;
}

}  // namespace stemma
