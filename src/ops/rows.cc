#include "ops/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/rows.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

void add_columns(const float* x, int64_t rows, int64_t stride, int64_t n, float* out) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t j = 0; j < n; j += lanes) {
    auto total = load_n(d, x + j, n - j);
    for (int64_t i = 1; i < rows; ++i) total = hn::Add(total, load_n(d, x + i * stride + j, n - j));
    store_n(d, hn::Add(load_n(d, out + j, n - j), total), out + j, n - j);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma::rows {

STEMMA_LEVELS(add_columns);

void add_sum(Ctx& c, const float* x, int64_t rows, int64_t stride, int64_t n, float* out) {
  if (rows == 0) return;
  constexpr int64_t kLine = 64;  // columns, so that threads do not share cache lines
  const int64_t columns = std::max(kLine, 4 * kGrain / rows / kLine * kLine);
  c.team->run_range(n, columns, [&](int64_t begin, int64_t end) {
    STEMMA_AT_LEVEL(add_columns)(x + begin, rows, stride, end - begin, out + begin);
  });
}

void Partials::add_to(Ctx& c, int64_t offset, int64_t n, float* out) const {
  add_sum(c, sums_.data<float>() + offset, pieces_, sums_.extent(1), n, out);
}

}  // namespace stemma::rows
#endif
