// The CPU levels, and the vector mathematics: error against double precision, special values, and
// the same bits at every level.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/error.h"
#include "simd/isa.h"

#ifndef STEMMA_TESTS_GEMM_SIMD_
#define STEMMA_TESTS_GEMM_SIMD_
enum Function { kExp, kLog, kTanh, kSigmoid, kErf, kExpSoftmax };
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "gemm/simd.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

void apply(int f, const float* x, float* y, int64_t n) {
  const hn::ScalableTag<float> d;
  for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d))) {
    const auto v = load_n(d, x + i, n - i);
    switch (f) {
      case kExp:
        store_n(d, vexp(d, v), y + i, n - i);
        break;
      case kLog:
        store_n(d, vlog(d, v), y + i, n - i);
        break;
      case kTanh:
        store_n(d, vtanh(d, v), y + i, n - i);
        break;
      case kSigmoid:
        store_n(d, vsigmoid(d, v), y + i, n - i);
        break;
      case kErf:
        store_n(d, verf(d, v), y + i, n - i);
        break;
      case kExpSoftmax:
        store_n(d, vexp_softmax(d, v), y + i, n - i);
        break;
    }
  }
}

float sum_squares(const float* x, int64_t n) {
  const hn::ScalableTag<float> d;
  return sum16(d, n, [&](int64_t i, int64_t m) HWY_ATTR {
    const auto v = load_n(d, x + i, m);
    return hn::Mul(v, v);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(apply);
STEMMA_LEVELS(sum_squares);

std::vector<float> run(int f, const std::vector<float>& x) {
  std::vector<float> y(x.size());
  STEMMA_AT_LEVEL(apply)(f, x.data(), y.data(), static_cast<int64_t>(x.size()));
  return y;
}

double exact(int f, double x) {
  switch (f) {
    case kExp:
      return std::exp(x);
    case kLog:
      return std::log(x);
    case kTanh:
      return std::tanh(x);
    case kSigmoid:
      return 1 / (1 + std::exp(-x));
    default:
      return std::erf(x);
  }
}

// The spacing of floats at `x`.
double ulp(double x) {
  const float a = std::fabs(static_cast<float>(x));
  if (!(a < std::numeric_limits<float>::max())) return 0x1p104;
  return static_cast<double>(std::nextafter(a, HUGE_VALF)) - static_cast<double>(a);
}

// Floats spread evenly over all bit patterns, both signs, NaN and infinities included.
std::vector<float> all_kinds() {
  std::vector<float> x;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 29989) {
    const uint32_t b = static_cast<uint32_t>(bits);
    float v;
    std::memcpy(&v, &b, 4);
    x.push_back(v);
  }
  return x;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

class Math : public testing::TestWithParam<int> {};

TEST_P(Math, IsWithinItsErrorAndEqualAtEveryLevel) {
  const int f = GetParam();
  const double limit[] = {1, 1, 1.5, 2.5, 1.5};
  const std::vector<float> x = all_kinds();
  std::vector<float> first;
  for (Isa level : available_isas()) {
    ScopedIsa at(level);
    const std::vector<float> y = run(f, x);
    if (!first.empty()) {
      EXPECT_TRUE(same_bits(first, y)) << isa_name(level);
      continue;
    }
    first = y;
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = exact(f, x[i]);
      if (std::isnan(want)) {
        ASSERT_TRUE(std::isnan(y[i])) << x[i];
      } else if (std::isinf(static_cast<float>(want))) {
        ASSERT_EQ(y[i], static_cast<float>(want)) << x[i];
      } else {
        const double error = std::fabs(y[i] - want) / ulp(want);
        ASSERT_LE(error, limit[f]) << "at " << x[i] << ": " << y[i] << ", exactly " << want;
        worst = std::max(worst, error);
      }
    }
    RecordProperty("worst_ulp", std::to_string(worst));
  }
}
INSTANTIATE_TEST_SUITE_P(All, Math, testing::Values(kExp, kLog, kTanh, kSigmoid, kErf));

TEST(Math, SpecialValues) {
  const float inf = HUGE_VALF;
  for (Isa level : available_isas()) {
    ScopedIsa at(level);
    EXPECT_EQ(run(kExp, {-inf, inf, 0, -200}), (std::vector<float>{0, inf, 1, 0}));
    EXPECT_EQ(run(kLog, {0, inf, 1}), (std::vector<float>{-inf, inf, 0}));
    EXPECT_EQ(run(kTanh, {-inf, inf, 0}), (std::vector<float>{-1, 1, 0}));
    EXPECT_EQ(run(kSigmoid, {-inf, inf, 0}), (std::vector<float>{0, 1, 0.5f}));
    EXPECT_EQ(run(kErf, {-inf, inf, 0}), (std::vector<float>{-1, 1, 0}));
  }
}

TEST(Math, ExpOfASoftmax) {
  std::vector<float> x;
  for (int i = -8699; i <= 8800; ++i) x.push_back(static_cast<float>(i) / 100);
  std::vector<float> first;
  for (Isa level : available_isas()) {
    ScopedIsa at(level);
    const std::vector<float> y = run(kExpSoftmax, x);
    if (first.empty()) first = y;
    EXPECT_TRUE(same_bits(first, y)) << isa_name(level);
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = std::exp(static_cast<double>(x[i]));
      ASSERT_LE(std::fabs(y[i] - want), ulp(want)) << x[i];
    }
    const std::vector<float> edge = run(kExpSoftmax, {-87, -1e30f, -HUGE_VALF, NAN});
    EXPECT_EQ(edge[0] + edge[1] + edge[2], 0) << isa_name(level);
    EXPECT_TRUE(std::isnan(edge[3])) << isa_name(level);
  }
}

TEST(Sum16, IsRightAndEqualAtEveryLevel) {
  for (int64_t n : {0, 1, 3, 15, 16, 17, 63, 65, 384}) {
    std::vector<float> x(static_cast<size_t>(n));
    double want = 0;
    for (int64_t i = 0; i < n; ++i) {
      x[i] = std::sin(static_cast<float>(i) + 0.5f);
      want += static_cast<double>(x[i]) * x[i];
    }
    float first = 0;
    for (Isa level : available_isas()) {
      ScopedIsa at(level);
      const float got = STEMMA_AT_LEVEL(sum_squares)(x.data(), n);
      EXPECT_NEAR(got, want, 1e-6 * want);
      if (level == Isa::kScalar) first = got;
      EXPECT_EQ(got, first) << n << " at " << isa_name(level);
    }
  }
}

TEST(Isa, RefusesALevelThatIsNotThere) {
  const Isa before = isa();
  {
    ScopedIsa at(Isa::kScalar);
    EXPECT_EQ(isa(), Isa::kScalar);
  }
  EXPECT_EQ(isa(), before);
  if (available_isas().back() != Isa::kAvx512) {
    EXPECT_THROW(ScopedIsa{Isa::kAvx512}, Error);
  }
  for (Isa level : available_dot_isas()) {
    ScopedIsa at(level);
    EXPECT_EQ(isa(), level);
    EXPECT_EQ(vector_isa(), std::min(level, available_isas().back()));
    EXPECT_EQ(uses_tiles(), level == Isa::kAmx || level == Isa::kAmxEmulated);
  }
}

TEST(IsaDeathTest, AnUnknownNameInTheEnvironmentIsAnError) {
  EXPECT_EXIT(
      {
        setenv("STEMMA_ISA", "sse9", 1);
        try {
          internal::choose_isa();
        } catch (const Error& e) {
          exit(e.message().find("scalar, avx2, avx512, avx512_bf16, amx or amx-emulated") !=
                       std::string::npos
                   ? 0
                   : 1);
        }
        exit(2);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace stemma
#endif
