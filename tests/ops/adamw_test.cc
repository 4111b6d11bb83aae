#include "ops/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "simd/isa.h"

namespace stemma {
namespace {

using Floats = std::vector<float>;

// torch 2.15: AdamW(lr=3e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1), three steps.
TEST(AdamW, RetracesTorch) {
  Floats p = {-1.1258398294448853f, -1.152360200881958f, -0.2505785822868347f};
  const Floats gradients[] = {
      {0.1569116711616516f, -0.061301663517951965f, -0.6644893288612366f},
      {-0.020275110378861427f, 1.3557649850845337f, -5.6069746017456055f},
      {0.1834934800863266f, -19.423830032348633f, -0.08798807114362717f},
  };
  const Floats expected[] = {
      {-1.1285021305084229f, -1.1490144729614258f, -0.24750341475009918f},
      {-1.129892110824585f, -1.1507829427719116f, -0.24500522017478943f},
      {-1.13185715675354f, -1.1486847400665283f, -0.24300412833690643f},
  };
  Team team(1);
  Floats m(3), v(3);
  for (int64_t step = 1; step <= 3; ++step) {
    const auto i = static_cast<size_t>(step - 1);
    adamw_step(team, {3e-3, 0.9, 0.95, 1e-8, 0.1}, step, 1, 3, p.data(), gradients[i].data(),
               m.data(), v.data());
    EXPECT_EQ(p, expected[i]) << "step " << step;
  }
}

Floats draw(size_t n, const char* what) {
  Floats x(n);
  const RngKey key = RngKey(5).of(what);
  for (size_t i = 0; i < n; ++i) x[i] = static_cast<float>(key.normal(i));
  return x;
}

Floats stepped(Team& team, const AdamW& o, double scale, size_t n) {
  Floats p = draw(n, "p"), m = draw(n, "m"), v = draw(n, "v");
  for (float& x : v) x = std::abs(x);
  const Floats g = draw(n, "g");
  adamw_step(team, o, 7, scale, static_cast<int64_t>(n), p.data(), g.data(), m.data(), v.data());
  p.insert(p.end(), m.begin(), m.end());
  p.insert(p.end(), v.begin(), v.end());
  return p;
}

TEST(AdamW, SameBitsAtEveryLevelAndThreadCount) {
  Team one(1), three(3);
  for (const AdamW& o : {AdamW{}, AdamW{1e-2, 0.3, 0.9, 1e-6, 0.01}})
    for (size_t n : {size_t{0}, size_t{1}, size_t{65}, size_t{40001}}) {
      const Floats expected = stepped(one, o, 0.25, n);
      EXPECT_EQ(stepped(three, o, 0.25, n), expected);
      for (Isa level : available_isas()) {
        const ScopedIsa scoped(level);
        EXPECT_EQ(stepped(one, o, 0.25, n), expected) << isa_name(level);
      }
    }
}

// The textbook's formulas in f64.
TEST(AdamW, FollowsItsDefinition) {
  Team team(1);
  constexpr size_t n = 33;
  for (double beta1 : {0.9, 0.3}) {
    const AdamW o{1e-2, beta1, 0.9, 1e-6, 0.01};
    const Floats got = stepped(team, o, 0.25, n);
    const Floats p = draw(n, "p"), m = draw(n, "m"), v = draw(n, "v"), g = draw(n, "g");
    for (size_t i = 0; i < n; ++i) {
      const double grad = 0.25 * g[i], nm = beta1 * m[i] + (1 - beta1) * grad;
      const double nv = 0.9 * std::abs(v[i]) + 0.1 * grad * grad;
      const double step =
          o.lr * (nm / (1 - std::pow(beta1, 7))) / (std::sqrt(nv / (1 - std::pow(0.9, 7))) + 1e-6);
      EXPECT_NEAR(got[i], p[i] * (1 - o.lr * o.decay) - step, 1e-6);
      EXPECT_NEAR(got[n + i], nm, 1e-6);
      EXPECT_NEAR(got[2 * n + i], nv, 1e-6);
    }
  }
}

TEST(AdamW, StepsCountFromOne) {
  Team team(1);
  EXPECT_THROW(adamw_step(team, {}, 0, 1, 0, nullptr, nullptr, nullptr, nullptr), Error);
}

TEST(SumOfSquares, IsExactToDoubleAndTheSameEverywhere) {
  Pool pool;
  Team small(1), large(3);
  Ctx one{.team = &small, .pool = &pool}, three{.team = &large, .pool = &pool};
  for (size_t n : {size_t{0}, size_t{1}, size_t{17}, size_t{63}, size_t{100001}}) {
    const Floats x = draw(n, "x");
    double expected = 0;
    for (float value : x) expected += static_cast<double>(value) * value;
    const double got = sum_of_squares(one, x.data(), static_cast<int64_t>(n));
    EXPECT_NEAR(got, expected, 1e-12 * expected);
    EXPECT_EQ(sum_of_squares(three, x.data(), static_cast<int64_t>(n)), got);
    for (Isa level : available_isas()) {
      const ScopedIsa scoped(level);
      EXPECT_EQ(sum_of_squares(one, x.data(), static_cast<int64_t>(n)), got) << isa_name(level);
    }
  }
}

}  // namespace
}  // namespace stemma
