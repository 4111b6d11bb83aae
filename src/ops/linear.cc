// Gradients: dx = dy w; dw = dy^T x; db = the sum of dy's rows, in ascending order.
#include "ops/linear.h"

#include <algorithm>

#include "ops/primitives.h"

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

// Below this many rows dx is made from the plain weight rather than from panels packed for it.
constexpr int64_t kRowsWorthPacking = 16;

void backward(Ctx& c, const Tensor& x, const Tensor& w, const Tensor& b, WeightPacks* packs,
              const Tensor& dout, Grads& grads) {
  const Tensor dy = contiguous(c, dout);
  const int64_t t = x.extent(0), k = w.extent(1), n = w.extent(0);
  const float* pdy = dy.data<float>();
  const Epilogue add{.accumulate = true};
  if (grads.wants(x)) {
    float* dx = grads.into(c, x).data<float>();
    if (packs != nullptr && t >= kRowsWorthPacking)
      gemm(c, t, {pdy, n}, packs->transposed(c, w), add, dx, k);
    else
      gemm(c, t, k, n, {pdy, n}, {w.data<float>(), k}, add, dx, k);
  }
  if (grads.wants(w))
    gemm(c, n, k, t, {pdy, n, true}, {x.data<float>(), k}, add, grads.into(c, w).data<float>(), k);
  if (b && grads.wants(b)) {
    float* db = grads.into(c, b).data<float>();
    const int64_t grain = std::max<int64_t>(64, (1 << 16) / std::max<int64_t>(1, t) / 64 * 64);
    c.team->run_range(n, grain, [&](int64_t begin, int64_t end) {
      STEMMA_AT_LEVEL(add_rows)(pdy + begin, t, n, end - begin, db + begin);
    });
  }
}

}  // namespace

void WeightPacks::bump() {
  std::lock_guard lock(mutex_);
  forward_ = transposed_ = {};
}

Panels WeightPacks::forward(Ctx& c, const Tensor& w) {
  std::lock_guard lock(mutex_);
  if (!forward_)
    forward_ = pack_panels(c, {w.data<float>(), w.extent(1), true}, w.extent(1), w.extent(0));
  return forward_;
}

Panels WeightPacks::transposed(Ctx& c, const Tensor& w) {
  std::lock_guard lock(mutex_);
  if (!transposed_)
    transposed_ = pack_panels(c, {w.data<float>(), w.extent(1)}, w.extent(0), w.extent(1));
  return transposed_;
}

Tensor linear(Ctx& c, const Tensor& x, const Tensor& w, const Tensor& b, WeightPacks* packs) {
  check(x.rank() == 2 && w.rank() == 2 && x.extent(1) == w.extent(1), "[linear] x ",
        x.shape().to_string(), " does not fit a weight ", w.shape().to_string(),
        "; x must be [T,K], the weight [N,K]");
  check(!b || (b.rank() == 1 && b.extent(0) == w.extent(0)), "[linear] bias ",
        b.shape().to_string(), " does not fit a weight ", w.shape().to_string(), "; it must be [",
        w.extent(0), "]");
  if (!c.kernels || x.dtype() != DType::f32) return define(c, x, w, b);

  const Tensor rows = contiguous(c, x), weight = contiguous(c, w);
  const Tensor bias = b ? contiguous(c, b) : b;
  const int64_t t = x.extent(0), k = x.extent(1), n = w.extent(0);
  Tensor y = Tensor::empty(c, {t, n});
  const Epilogue epilogue{.bias = bias ? bias.data<float>() : nullptr};
  if (packs != nullptr)
    gemm(c, t, {rows.data<float>(), k}, packs->forward(c, weight), epilogue, y.data<float>(), n);
  else
    gemm(c, t, n, k, {rows.data<float>(), k}, {weight.data<float>(), k, true}, epilogue,
         y.data<float>(), n);
  if (recording(c, {rows, weight, bias}))
    c.tape->record("linear", {y},
                   [rows, weight, bias, packs](Ctx& c, std::span<const Tensor> d, Grads& g) {
                     backward(c, rows, weight, bias, packs, d[0], g);
                   });
  return y;
}

}  // namespace stemma
#endif
