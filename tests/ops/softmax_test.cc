#include "ops/softmax.h"

#include <cmath>

#include "driver.h"

namespace stemma::ops_test {
namespace {

TEST(Softmax, GreatLogitsDoNotOverflow) {
  Team team(1);
  Pool pool;
  Ctx c{&team, &pool};
  const std::vector<float> x = {1e30f, 1e30f, -INFINITY, -1e30f};
  for (bool kernels : {true, false}) {
    c.kernels = kernels;
    const Tensor y = softmax(c, Tensor::from<float>(c, x, {1, 4}));
    EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{0.5f, 0.5f, 0, 0}));
  }
}

}  // namespace
}  // namespace stemma::ops_test
