// Gradients, over the rows of the place: with g = dy[:, column..] and s = scale,
//   dB += g^T (s h);  dh = s g B;  dA += dh^T x;  dx += dh A;  the gradient of y passes through.
#include "ops/low_rank.h"

#include "gemm/gemm.h"
#include "ops/primitives.h"

namespace stemma {
namespace {

constexpr Epilogue kAdd{.accumulate = true};

Tensor define(Ctx& c, const Tensor& y, const Tensor& x, const Tensor& a, const Tensor& b,
              const LowRank& p) {
  const int64_t tokens = y.extent(0), n = y.extent(1), end = p.column + b.extent(0);
  const Tensor rows = slice(c, x, 0, p.begin, p.end);
  const Tensor h = mul(c, matmul(c, rows, transpose(c, a, 0, 1)), p.scale);
  const Tensor old = slice(c, y, 0, p.begin, p.end);
  const Tensor sum = add(c, slice(c, old, 1, p.column, end), matmul(c, h, transpose(c, b, 0, 1)));
  const Tensor wide = concat(c, {slice(c, old, 1, 0, p.column), sum, slice(c, old, 1, end, n)}, 1);
  return concat(c, {slice(c, y, 0, 0, p.begin), wide, slice(c, y, 0, p.end, tokens)}, 0);
}

void multiply(const Tensor& t, float scale) {
  float* p = t.data<float>();
  for (int64_t i = 0; i < t.elements(); ++i) p[i] *= scale;
}

void backward(Ctx& c, const Tensor& y, const Tensor& x, const Tensor& a, const Tensor& b,
              const Tensor& h, const LowRank& p, const Tensor& dout, Grads& g) {
  const Tensor dy = contiguous(c, dout);
  const int64_t rows = p.end - p.begin, k = x.extent(1), n = b.extent(0), r = a.extent(0);
  const MatrixRef gy{dy.data<float>() + p.begin * dy.extent(1) + p.column, dy.extent(1)};
  if (g.wants(b))
    gemm(c, n, r, rows, {gy.data, gy.stride, true}, {h.data<float>(), r}, kAdd,
         g.into(c, b).data<float>(), r);
  if (g.wants(a) || g.wants(x)) {
    const Tensor dh = Tensor::empty(c, {rows, r});
    float* pdh = dh.data<float>();
    gemm(c, rows, r, n, gy, {b.data<float>(), r}, {}, pdh, r);
    multiply(dh, p.scale);
    if (g.wants(a))
      gemm(c, r, k, rows, {pdh, r, true}, {x.data<float>() + p.begin * k, k}, kAdd,
           g.into(c, a).data<float>(), k);
    if (g.wants(x))
      gemm(c, rows, k, r, {pdh, r}, {a.data<float>(), k}, kAdd,
           g.into(c, x).data<float>() + p.begin * k, k);
  }
  g.add(c, y, dout);
}

}  // namespace

Tensor add_low_rank(Ctx& c, const Tensor& y, const Tensor& given, const Tensor& a, const Tensor& b,
                    const LowRank& p) {
  check(y.rank() == 2 && given.rank() == 2 && a.rank() == 2 && b.rank() == 2 &&
            y.extent(0) == given.extent(0) && a.extent(1) == given.extent(1) &&
            b.extent(1) == a.extent(0) && 0 <= p.begin && p.begin <= p.end &&
            p.end <= y.extent(0) && 0 <= p.column && p.column + b.extent(0) <= y.extent(1),
        "[low_rank] A ", a.shape().to_string(), " and B ", b.shape().to_string(), " for rows ",
        p.begin, " to ", p.end, " and columns from ", p.column, " of y ", y.shape().to_string(),
        ", x ", given.shape().to_string(), "; they must be A [r,K], B [n,r], y [T,N], x [T,K]");
  if (!c.kernels || y.dtype() != DType::f32) return define(c, y, given, a, b, p);
  check(y.contiguous() && a.contiguous() && b.contiguous(),
        "[low_rank] y, A and B must be contiguous");
  const Tensor x = contiguous(c, given);
  const int64_t rows = p.end - p.begin, k = x.extent(1), n = b.extent(0), r = a.extent(0);
  const Tensor h = Tensor::empty(c, {rows, r});
  gemm(c, rows, r, k, {x.data<float>() + p.begin * k, k}, {a.data<float>(), k, true}, {},
       h.data<float>(), r);
  multiply(h, p.scale);
  gemm(c, rows, n, r, {h.data<float>(), r}, {b.data<float>(), r, true}, kAdd,
       y.data<float>() + p.begin * y.extent(1) + p.column, y.extent(1));
  const Tensor out = y.view(y.shape(), y.strides());
  if (recording(c, {y, x, a, b}))
    c.tape->record("low_rank", {out},
                   [y, x, a, b, h, p](Ctx& c, std::span<const Tensor> d, Grads& g) {
                     backward(c, y, x, a, b, h, p, d[0], g);
                   });
  return out;
}

}  // namespace stemma
