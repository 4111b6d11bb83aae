// Rows of an operand on their way into a packing, at each level: widened to f32, narrowed to bf16,
// and 32-bit words transposed. The same bits at every level; memory beyond n is not touched.

// Once per level, so the guard toggles (simd/math-inl.h, which comes before).
#if defined(STEMMA_GEMM_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef STEMMA_GEMM_ROWS_INL_H_
#undef STEMMA_GEMM_ROWS_INL_H_
#else
#define STEMMA_GEMM_ROWS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace rows {
namespace hn = hwy::HWY_NAMESPACE;

using F = hn::ScalableTag<float>;
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(F()));

// The bits of x rounded to bf16 (to nearest, ties to even; NaN stays NaN), in the low halves.
HWY_INLINE hn::Vec<hn::RebindToUnsigned<F>> bf16_bits(hn::Vec<F> x) {
  const hn::RebindToUnsigned<F> du;
  const auto bits = hn::BitCast(du, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  const auto up = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fff))));
  const auto nan = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 64));
  return hn::IfThenElse(hn::RebindMask(du, hn::Eq(x, x)), up, nan);
}

// n elements of the given dtype (f32, bf16 or f16), from `begin` on, as f32.
HWY_INLINE void widen(const void* from, DType dtype, int64_t begin, int64_t n, float* out) {
  const F d;
  int64_t i = 0;
  if (dtype == DType::f32) {
    std::memcpy(out, static_cast<const float*>(from) + begin,
                static_cast<size_t>(n) * sizeof(float));
    return;
  }
  const uint16_t* p = static_cast<const uint16_t*>(from) + begin;
  if (dtype == DType::bf16) {
    const hn::RebindToUnsigned<F> du;
    const hn::Rebind<uint16_t, F> dh;
    for (; i + kLanes <= n; i += kLanes)
      hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(dh, p + i)))), d,
                 out + i);
    for (; i < n; ++i) out[i] = widen_bf16(p[i]);
    return;
  }
#if HWY_TARGET != HWY_SCALAR
  const hn::Rebind<hwy::float16_t, F> dh;
  const hn::Rebind<uint16_t, F> dbits;
  for (; i + kLanes <= n; i += kLanes)
    hn::StoreU(hn::PromoteTo(d, hn::BitCast(dh, hn::LoadU(dbits, p + i))), d, out + i);
#endif
  for (; i < n; ++i) out[i] = widen_f16(p[i]);
}

// The same as bf16.
HWY_INLINE void narrow(const void* from, DType dtype, int64_t begin, int64_t n, uint16_t* out) {
  if (dtype == DType::bf16) {
    const uint16_t* p = static_cast<const uint16_t*>(from) + begin;
    if (n == 32)  // a tile's row: no call
      std::memcpy(out, p, 64);
    else
      std::memcpy(out, p, static_cast<size_t>(n) * sizeof(uint16_t));
    return;
  }
  if (dtype == DType::f16) {
    float wide[64];
    for (int64_t i = 0; i < n; i += 64) {
      const int64_t m = n - i < 64 ? n - i : 64;
      widen(from, dtype, begin + i, m, wide);
      narrow(wide, DType::f32, 0, m, out + i);
    }
    return;
  }
  const float* p = static_cast<const float*>(from) + begin;
  int64_t i = 0;
  const F d;
  const hn::RebindToSigned<F> di;
  const hn::Rebind<uint16_t, F> dh;
  for (; i + kLanes <= n; i += kLanes)
    hn::StoreU(hn::DemoteTo(dh, hn::BitCast(di, bf16_bits(hn::LoadU(d, p + i)))), dh, out + i);
  for (; i < n; ++i) out[i] = narrow_bf16(p[i]);
}

// Each of n floats becomes the nearest bf16, as a float.
HWY_INLINE void round_to_bf16(float* x, int64_t n) {
  const F d;
  for (int64_t i = 0; i < n; i += kLanes)
    store_n(d, hn::BitCast(d, hn::ShiftLeft<16>(bf16_bits(load_n(d, x + i, n - i)))), x + i, n - i);
}

#if HWY_TARGET != HWY_SCALAR
// Four words of each of the rows 0, 4, 8, ... below `count`, zeros for the others: one 128-bit
// block a row.
HWY_INLINE hn::Vec<F> load_blocks(const float* p, int64_t stride, int64_t count) {
  const hn::CappedTag<float, 4> d4;
  const auto block = [&](int64_t r) HWY_ATTR {
    return r < count ? hn::LoadU(d4, p + r * stride) : hn::Zero(d4);
  };
#if HWY_TARGET == HWY_AVX3
  const hn::CappedTag<float, 8> d8;
  return hn::Combine(F(), hn::Combine(d8, block(12), block(8)),
                     hn::Combine(d8, block(4), block(0)));
#else
  return hn::Combine(F(), block(4), block(0));
#endif
}

// out[k * out_stride + r] = p[r * stride + k] for kLanes rows r, of which `count` are there (zeros
// for the others), and four k.
HWY_INLINE void transpose_strip(const float* p, int64_t stride, int64_t count, float* out,
                                int64_t out_stride) {
  const F d;
  const hn::Repartition<double, F> dd;
  const auto r0 = load_blocks(p, stride, count), r1 = load_blocks(p + stride, stride, count - 1);
  const auto r2 = load_blocks(p + 2 * stride, stride, count - 2),
             r3 = load_blocks(p + 3 * stride, stride, count - 3);
  const auto lo01 = hn::BitCast(dd, hn::InterleaveLower(d, r0, r1));
  const auto lo23 = hn::BitCast(dd, hn::InterleaveLower(d, r2, r3));
  const auto hi01 = hn::BitCast(dd, hn::InterleaveUpper(d, r0, r1));
  const auto hi23 = hn::BitCast(dd, hn::InterleaveUpper(d, r2, r3));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(dd, lo01, lo23)), d, out);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(dd, lo01, lo23)), d, out + out_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(dd, hi01, hi23)), d, out + 2 * out_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(dd, hi01, hi23)), d, out + 3 * out_stride);
}
#endif

// out[k * out_stride + r] = p[r * stride + k] for the `count` rows r and n words k, zeros for r
// from `count` to `width`, a multiple of 16.
HWY_INLINE void transpose(const float* p, int64_t stride, int64_t count, int64_t n, int64_t width,
                          float* out, int64_t out_stride) {
  int64_t whole = 0;  // k done four at a time
#if HWY_TARGET != HWY_SCALAR
  whole = n / 4 * 4;
  for (int64_t r = 0; r < width; r += kLanes) {
    const float* row = p + r * stride;
    for (int64_t k = 0; k < whole; k += 4) {
      // The rows that come next, a quarter of them each time: a line holds sixteen k.
      const float* next = row + (kLanes + k % 16) * stride + k / 16 * 16;
      for (int64_t i = 0; i < 4; ++i) __builtin_prefetch(next + i * stride);
      if (r + kLanes <= count)
        transpose_strip(row + k, stride, kLanes, out + k * out_stride + r, out_stride);
      else
        transpose_strip(row + k, stride, count - r, out + k * out_stride + r, out_stride);
    }
  }
#endif
  for (int64_t k = whole; k < n; ++k)
    for (int64_t r = 0; r < width; ++r)
      out[k * out_stride + r] = r < count ? p[r * stride + k] : 0.0f;
}

}  // namespace rows
}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#endif  // toggle
