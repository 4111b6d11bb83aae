// The parts of the bf16 format as attention uses them: packings and the tile product, at every
// level, against the product of the rounded operands.
#include "gemm/bf16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "gemm/operands.h"

namespace stemma {
namespace {

class Bf16Parts : public testing::TestWithParam<Isa> {
 protected:
  ScopedIsa at_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Gemm, Bf16Parts, testing::ValuesIn(available_dot_isas()),
                         [](const auto& info) { return level_name(info.param); });

struct Shape3 {
  int64_t m, n, k;
};

template <class T>
MatrixRef ref(const Guarded<T>& x, int64_t rows, int64_t columns, bool transposed) {
  return {x.data(), transposed ? rows : columns, transposed,
          sizeof(T) == 2 ? DType::bf16 : DType::f32};
}

template <class T>
float element(const Guarded<T>& x, int64_t rows, int64_t columns, bool transposed, int64_t i,
              int64_t j) {
  const float v = as_float(transposed ? x[j * rows + i] : x[i * columns + j]);
  return widen_bf16(narrow_bf16(v));
}

// One panel, in stretches of `stretch`, from zero or from what `out` holds.
template <class T>
void expect_product(const Shape3& s, bool a_transposed, bool b_transposed, bool from_out,
                    int64_t stretch) {
  SCOPED_TRACE(cat(s.m, " x ", s.n, ", K ", s.k, " in stretches of ", stretch,
                   a_transposed ? ", A^T" : "", b_transposed ? ", B^T" : "",
                   from_out ? ", from out" : ""));
  Guarded<T> a(s.m * s.k), b(s.k * s.n);
  fill(a, 1), fill(b, 2);
  Guarded<float> out(s.m * s.n), before(s.m * s.n);
  fill(before, 3);
  std::copy_n(before.data(), s.m * s.n, out.data());
  alignas(64) static std::byte rows[bf16::row_bytes(80)];
  alignas(64) static uint16_t panel[bf16::panel_elements(1024)];
  bf16::pack_panel(ref(b, s.k, s.n, b_transposed), 0, s.k, 0, s.n, panel);
  for (int64_t k = 0; k < s.k; k += stretch) {
    const int64_t depth = std::min(stretch, s.k - k);
    bf16::pack_rows(ref(a, s.m, s.k, a_transposed), 0, s.m, k, depth, rows);
    bf16::multiply({rows, a_transposed, s.m, depth, from_out || k > 0},
                   panel + k * Panels::kColumns, s.n, out.data(), s.n);
  }
  for (int64_t i = 0; i < s.m; ++i)
    for (int64_t j = 0; j < s.n; ++j) {
      float chain = from_out ? before[i * s.n + j] : 0.0f;
      double sum = static_cast<double>(chain), magnitude = 1e-30;
      for (int64_t k = 0; k < s.k; ++k) {
        const float x = element(a, s.m, s.k, a_transposed, i, k);
        const float y = element(b, s.k, s.n, b_transposed, k, j);
        chain = std::fma(x, y, chain);
        sum += static_cast<double>(x) * static_cast<double>(y);
        magnitude += std::abs(static_cast<double>(x) * static_cast<double>(y));
      }
      if (isa() <= Isa::kAvx512) {
        ASSERT_EQ(out[i * s.n + j], chain) << i << ", " << j;
      } else {
        ASSERT_NEAR(static_cast<double>(out[i * s.n + j]), sum, 1e-6 * (magnitude + 1))
            << i << ", " << j;
      }
    }
}

TEST_P(Bf16Parts, MultiplyAsTheirDefinition) {
  int variant = 0;
  for (int64_t m : {1, 3, 17, 65})
    for (int64_t n : {1, 17, 32})
      for (int64_t k : {1, 31, 64, 65}) {
        expect_product<float>({m, n, k}, variant & 1, variant & 2, variant & 4, 64);
        expect_product<uint16_t>({m, n, k}, variant & 2, variant & 1, variant & 4, 32);
        variant += 3;
      }
  for (int v = 0; v < 8; ++v) expect_product<float>({21, 32, 600}, v & 1, v & 2, v & 4, 512);
}

}  // namespace
}  // namespace stemma
