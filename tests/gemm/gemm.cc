// gemm against its own definition, one chain of fused multiply-adds per element, bit for bit: at
// every level, packed and plain, every operand layout, odd sizes, guard pages behind each buffer.
#include "gemm/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <tuple>
#include <vector>

#include "gemm/operands.h"

namespace stemma {
namespace {

float element(const MatrixRef& a, int64_t i, int64_t j) {
  const float* data = static_cast<const float*>(a.data);
  return a.transposed ? data[j * a.stride + i] : data[i * a.stride + j];
}

std::vector<float> expected(int64_t m, int64_t n, int64_t k, const MatrixRef& a, const MatrixRef& b,
                            const Epilogue& e, const float* before) {
  std::vector<float> c(static_cast<size_t>(m * n));
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      float s = e.accumulate ? before[i * n + j] : 0.0f;
      for (int64_t l = 0; l < k; ++l) s = std::fma(element(a, i, l), element(b, l, j), s);
      c[i * n + j] = e.bias ? s + e.bias[j] : s;
    }
  return c;
}

void expect_exact(Ctx& c, int64_t m, int64_t n, int64_t k, bool a_transposed, bool b_transposed,
                  bool bias, bool accumulate, bool packed) {
  Guarded<float> a(m * k), b(k * n), add(n), out(m * n), before(m * n);
  fill(a, 1), fill(b, 2), fill(add, 3), fill(before, 4);
  std::copy_n(before.data(), m * n, out.data());
  const MatrixRef ra{a.data(), a_transposed ? m : k, a_transposed};
  const MatrixRef rb{b.data(), b_transposed ? k : n, b_transposed};
  const Epilogue e{bias ? add.data() : nullptr, accumulate};
  if (packed)
    gemm(c, m, ra, pack_panels(c, rb, k, n), e, out.data(), n);
  else
    gemm(c, m, n, k, ra, rb, e, out.data(), n);
  const std::vector<float> want = expected(m, n, k, ra, rb, e, before.data());
  for (int64_t i = 0; i < m * n; ++i)
    ASSERT_EQ(out[i], want[i]) << "element " << i << " of " << m << " x " << n << ", K " << k
                               << (a_transposed ? ", A^T" : "") << (b_transposed ? ", B^T" : "")
                               << (bias ? ", bias" : "") << (accumulate ? ", accumulate" : "")
                               << (packed ? ", packed" : "") << " at " << isa_name(isa());
}

class Levels : public testing::TestWithParam<Isa> {
 protected:
  ScopedIsa at_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Gemm, Levels, testing::ValuesIn(available_isas()),
                         [](const auto& info) { return std::string(isa_name(info.param)); });

TEST_P(Levels, EveryElementIsOneChainOfFusedMultiplyAdds) {
  Machine machine(2);
  const int64_t sizes[] = {0, 1, 3, 17, 63, 65};
  int variant = 0;
  for (int64_t m : sizes)
    for (int64_t n : sizes)
      for (int64_t k : sizes) {
        // Each size meets some of the variants, and all variants meet many sizes.
        for (int i = 0; i < 3; ++i, variant += 11)
          expect_exact(machine.c, m, n, k, variant & 1, variant & 2, variant & 4, variant & 8,
                       variant & 16);
      }
}

TEST_P(Levels, LongSumsContinueTheirChain) {
  Machine machine(2);
  for (int64_t k : {257, 523})
    for (int variant = 0; variant < 32; ++variant)
      expect_exact(machine.c, 7, 33, k, variant & 1, variant & 2, variant & 4, variant & 8,
                   variant & 16);
}

TEST_P(Levels, SeveralBlocksOfRows) {
  Machine machine(2);
  for (int variant : {0, 1, 2, 3, 14, 31}) {
    expect_exact(machine.c, 193, 33, 20, variant & 1, variant & 2, variant & 4, variant & 8,
                 variant & 16);
    expect_exact(machine.c, 401, 70, 5, variant & 1, variant & 2, variant & 4, variant & 8,
                 variant & 16);
  }
}

TEST_P(Levels, WritesNothingBesideItsColumns) {
  Machine machine(1);
  const int64_t m = 13, n = 37, k = 9, stride = 50;
  Guarded<float> a(m * k), b(k * n);
  fill(a, 1), fill(b, 2);
  std::vector<float> out(m * stride, 77.0f);
  gemm(machine.c, m, n, k, {a.data(), k}, {b.data(), n}, {}, out.data(), stride);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = n; j < stride; ++j) ASSERT_EQ(out[i * stride + j], 77.0f);
}

TEST(Gemm, ARowIsTheSameAloneAndAmongMany) {
  Machine one(1), two(2);
  const int64_t m = 700, n = 200, k = 300;
  Guarded<float> a(m * k), b(n * k);
  fill(a, 1), fill(b, 2);
  const MatrixRef right{b.data(), k, true};
  std::vector<float> all(m * n), again(m * n), row(n);
  gemm(one.c, m, n, k, {a.data(), k}, right, {}, all.data(), n);
  gemm(two.c, m, n, k, {a.data(), k}, right, {}, again.data(), n);
  EXPECT_EQ(0, std::memcmp(all.data(), again.data(), all.size() * sizeof(float)));
  for (int64_t i : {0, 1, 11, 12, 191, 192, 350, 699}) {
    gemm(two.c, 1, n, k, {a.data() + i * k, k}, right, {}, row.data(), n);
    EXPECT_EQ(0, std::memcmp(all.data() + i * n, row.data(), row.size() * sizeof(float))) << i;
  }
}

}  // namespace
}  // namespace stemma
