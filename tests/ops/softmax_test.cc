#include "ops/softmax.h"

#include <cmath>

#include "driver.h"

namespace stemma::ops_test {
namespace {

const Case kCases[] = {
    {"softmax",
     [](int64_t rows, int64_t n) {
       return std::vector{Input::batch({rows, n})};
     },
     [](Ctx& c, const Tensors& in) -> Tensors { return {softmax(c, in[0])}; }, 1},
    {"log_softmax",
     [](int64_t rows, int64_t n) {
       return std::vector{Input::batch({rows, n})};
     },
     [](Ctx& c, const Tensors& in) -> Tensors { return {log_softmax(c, in[0])}; }, 1},
    {"softmax_of_rank_3",
     [](int64_t rows, int64_t n) {
       return std::vector{Input::batch({rows, 2, n})};
     },
     [](Ctx& c, const Tensors& in) -> Tensors { return {softmax(c, in[0])}; }, 1},
};
INSTANTIATE_TEST_SUITE_P(Softmax, Op, testing::ValuesIn(kCases), case_name);

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
