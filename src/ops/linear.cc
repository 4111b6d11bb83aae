// Gradients: dx = dy W; dW = dy^T x, into each slice's own; db = the sum of dy's rows, in ascending
// order.
#include "ops/linear.h"

#include <algorithm>

#include "ops/primitives.h"
#include "tensor/mapped.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/linear.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// out[j] += the sum over rows of x[row * stride + j], j < n.
void add_rows(const float* x, int64_t rows, int64_t stride, int64_t n, float* out) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t j = 0; j < n; j += lanes) {
    auto sum = load_n(d, out + j, n - j);
    for (int64_t row = 0; row < rows; ++row)
      sum = hn::Add(sum, load_n(d, x + row * stride + j, n - j));
    store_n(d, sum, out + j, n - j);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(add_rows);

Tensor define(Ctx& c, const Tensor& x, const Tensor& w, const Tensor& b) {
  const Tensor y = matmul(c, x, transpose(c, w, 0, 1));
  return b ? add(c, y, b) : y;
}

// Of a weight: its slices one below the other.
Tensor define(Ctx& c, const Tensor& x, const Weight& w) {
  std::vector<Tensor> parts;
  for (const Weight::Slice& slice : w.slices())
    parts.push_back(
        define(c, x, slice.value->dtype() == x.dtype() ? *slice.value : to_f32(c, *slice.value),
               slice.bias ? *slice.bias : Tensor()));
  return parts.size() == 1 ? parts[0] : concat(c, parts, 1);
}

void check_shapes(const Tensor& x, int64_t n, int64_t k) {
  check(x.rank() == 2 && x.extent(1) == k, "[linear] x ", x.shape().to_string(),
        " does not fit a weight [", n, ", ", k, "]; x must be [T,K], the weight [N,K]");
}

constexpr Epilogue kAdd{.accumulate = true};

// dw += dy^T x and db += the sum of dy's rows, for n columns of dy [T, stride] and x packed.
void weight_gradients(Ctx& c, const float* dy, int64_t stride, const Panels& x, const Tensor& w,
                      const Tensor& b, Grads& grads) {
  const int64_t t = x.k, n = w.extent(0);
  if (grads.wants(w)) gemm(c, n, {dy, stride, true}, x, kAdd, grads.into(c, w).data<float>(), x.n);
  if (!b || !grads.wants(b)) return;
  float* db = grads.into(c, b).data<float>();
  const int64_t grain = std::max<int64_t>(64, (1 << 16) / std::max<int64_t>(1, t) / 64 * 64);
  c.team->run_range(n, grain, [&](int64_t begin, int64_t end) {
    STEMMA_AT_LEVEL(add_rows)(dy + begin, t, stride, end - begin, db + begin);
  });
}

Panels pack_rows(Ctx& c, const Tensor& x) {
  return pack_panels(c, {x.data<float>(), x.extent(1)}, x.extent(0), x.extent(1));
}

void backward(Ctx& c, const Tensor& x, const Weight& w, const Tensor& dout, Grads& grads) {
  const Tensor dy = contiguous(c, dout);
  const int64_t n = w.rows(), k = w.width();
  const float* pdy = dy.data<float>();
  if (grads.wants(x))
    gemm(c, x.extent(0), {pdy, n}, w.transposed(c), kAdd, grads.into(c, x).data<float>(), k);
  Panels packed;  // serves every slice
  for (const Weight::Slice& slice : w.slices()) {
    const Tensor bias = slice.bias ? *slice.bias : Tensor();
    if (grads.wants(*slice.value) || (bias && grads.wants(bias))) {
      if (!packed) packed = pack_rows(c, x);
      weight_gradients(c, pdy, n, packed, *slice.value, bias, grads);
    }
    pdy += slice.rows;
  }
}

}  // namespace

Tensor linear(Ctx& c, const Tensor& given, const Weight& w) {
  check_shapes(given, w.rows(), w.width());
  if (!c.kernels || given.dtype() != DType::f32) return define(c, given, w);
  const Tensor x = contiguous(c, given);
  const int64_t t = x.extent(0), k = w.width(), n = w.rows();
  const Tensor y = Tensor::empty(c, {t, n});
  const Weight::Forward packed = w.forward(c);
  gemm(c, t, {x.data<float>(), k}, packed.panels,
       {.bias = packed.bias ? packed.bias.data<float>() : nullptr}, y.data<float>(), n);
  if (c.tape != nullptr && (c.tape->needs(x) || w.needed(*c.tape)))
    c.tape->record("linear", {y}, [x, &w](Ctx& c, std::span<const Tensor> d, Grads& g) {
      backward(c, x, w, d[0], g);
    });
  return y;
}

Tensor linear(Ctx& c, const Tensor& given, const Tensor& w, const Tensor& b) {
  check(w.rank() == 2, "[linear] a weight ", w.shape().to_string(), "; it must be [N,K]");
  check_shapes(given, w.extent(0), w.extent(1));
  check(!b || (b.rank() == 1 && b.extent(0) == w.extent(0)), "[linear] bias ",
        b.shape().to_string(), " does not fit a weight ", w.shape().to_string(), "; it must be [",
        w.extent(0), "]");
  if (!c.kernels || given.dtype() != DType::f32) return define(c, given, w, b);
  const Tensor x = contiguous(c, given), weight = contiguous(c, w);
  const Tensor bias = b ? contiguous(c, b) : b;
  const int64_t t = x.extent(0), k = x.extent(1), n = w.extent(0);
  const Tensor y = Tensor::empty(c, {t, n});
  gemm(c, t, n, k, {x.data<float>(), k}, {weight.data<float>(), k, true},
       {.bias = bias ? bias.data<float>() : nullptr}, y.data<float>(), n);
  if (recording(c, {x, weight, bias}))
    c.tape->record("linear", {y}, [x, weight, bias](Ctx& c, std::span<const Tensor> d, Grads& g) {
      const Tensor dy = contiguous(c, d[0]);
      const int64_t t = x.extent(0), n = weight.extent(0), k = weight.extent(1);
      if (g.wants(x))
        gemm(c, t, k, n, {dy.data<float>(), n}, {weight.data<float>(), k}, kAdd,
             g.into(c, x).data<float>(), k);
      weight_gradients(c, dy.data<float>(), n, pack_rows(c, x), weight, bias, g);
    });
  return y;
}

}  // namespace stemma
#endif
