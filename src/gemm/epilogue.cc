#include "gemm/epilogue.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "gemm/epilogue.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"
// After the two above.
#include "gemm/rows-inl.h"
#include "simd/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// One row of n elements, from `sums` to `sums`.
template <class F>
HWY_INLINE void finish_row(F f, const float* bias, const float* up, const float* up_bias,
                           const float* residual, float scale, int64_t n, float* sums) {
  const hn::ScalableTag<float> d;
  const auto scales = hn::Set(d, scale);
  for (int64_t i = 0; i < n; i += rows::kLanes) {
    const int64_t m = n - i;
    auto y = load_n(d, sums + i, m);
    if (bias != nullptr) y = hn::Add(y, load_n(d, bias + i, m));
    y = f.value(y);
    if (up != nullptr) {
      auto other = load_n(d, up + i, m);
      if (up_bias != nullptr) other = hn::Add(other, load_n(d, up_bias + i, m));
      y = hn::Mul(y, other);
    }
    if (scale != 1) y = hn::Mul(y, scales);
    if (residual != nullptr) y = hn::Add(load_n(d, residual + i, m), y);
    store_n(d, y, sums + i, m);
  }
}

void finish_block(const Epilogue& e, const Block& b, void* out, int64_t out_stride) {
  const float* bias = e.bias == nullptr ? nullptr : e.bias + b.column;
  const float* up_bias = e.bias == nullptr || !e.gated ? nullptr : bias + b.half;
  activations::with_activation(e.activation, [&](auto f) HWY_ATTR {
    for (int64_t r = 0; r < b.rows; ++r) {
      float* sums = b.sums + r * b.stride;
      const float* up = e.gated ? b.up + r * b.stride : nullptr;
      const float* residual =
          e.residual == nullptr ? nullptr : e.residual + (b.row + r) * e.residual_stride + b.column;
      const int64_t at = (b.row + r) * out_stride + b.column;
      finish_row(f, bias, up, up_bias, residual, e.scale, b.columns, sums);
      if (e.out == DType::bf16)
        rows::narrow(sums, DType::f32, 0, b.columns, static_cast<uint16_t*>(out) + at);
      else if (static_cast<float*>(out) + at != sums)
        std::memcpy(static_cast<float*>(out) + at, sums,
                    static_cast<size_t>(b.columns) * sizeof(float));
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
STEMMA_LEVELS(finish_block);
}  // namespace

void finish(const Epilogue& e, const Block& block, void* out, int64_t out_stride) {
  STEMMA_AT_LEVEL(finish_block)(e, block, out, out_stride);
}

}  // namespace stemma
#endif
