#include "ops/low_rank.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace stemma {
namespace {

class AddLowRank : public testing::Test {
 protected:
  Tensor random(Shape shape, std::string_view name) {
    Tensor t = Tensor::empty(c_, shape);
    for (int64_t i = 0; i < t.elements(); ++i)
      t.data<float>()[i] = static_cast<float>(RngKey(4).of(name).normal(static_cast<uint64_t>(i)));
    return t;
  }
  // The result and the gradients of y, x, A and B under a random gradient of the result.
  std::vector<std::vector<float>> run(bool kernels, const LowRank& place) {
    const Tensor y = random({9, 20}, "y"), x = random({9, 7}, "x"), a = random({3, 7}, "a"),
                 b = random({5, 3}, "b");
    Tape tape;
    for (const Tensor& t : {y, x, a, b}) tape.watch(t);
    Ctx c = c_;
    c.tape = &tape;
    c.kernels = kernels;
    const Tensor out = add_low_rank(c, y, x, a, b, place);
    std::vector<std::vector<float>> all = {out.to_vector<float>()};
    tape.backward(c, out, random({9, 20}, "dy"));
    for (const Tensor& t : {y, x, a, b}) all.push_back(tape.grad(t).to_vector<float>());
    return all;
  }

  Team team_{1};
  Pool pool_;
  Ctx c_{.team = &team_, .pool = &pool_};
};

TEST_F(AddLowRank, KernelIsTheDefinitionInValueAndGradient) {
  for (const LowRank& place :
       {LowRank{0, 9, 0, 2}, LowRank{2, 6, 11, 0.5}, LowRank{8, 9, 15, -1}}) {
    const auto kernel = run(true, place), definition = run(false, place);
    for (size_t i = 0; i < kernel.size(); ++i) {
      ASSERT_EQ(kernel[i].size(), definition[i].size());
      for (size_t j = 0; j < kernel[i].size(); ++j)
        EXPECT_NEAR(kernel[i][j], definition[i][j], 1e-5) << i << " at " << j;
    }
  }
}

TEST_F(AddLowRank, RefusesWhatDoesNotFit) {
  const Tensor y = random({9, 20}, "y"), x = random({9, 7}, "x"), a = random({3, 7}, "a"),
               b = random({5, 3}, "b");
  EXPECT_THROW(add_low_rank(c_, y, x, a, b, {0, 10, 0, 1}), Error);
  EXPECT_THROW(add_low_rank(c_, y, x, a, b, {0, 9, 16, 1}), Error);
  EXPECT_THROW(add_low_rank(c_, y, x, b, a, {0, 9, 0, 1}), Error);
}

}  // namespace
}  // namespace stemma
