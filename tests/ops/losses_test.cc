#include "ops/losses.h"

#include <cmath>

#include "driver.h"
#include "ops/cross_entropy.h"

namespace stemma::ops_test {
namespace {

Input unit(Shape shape, bool grad) {
  Input x = Input::batch(shape);
  x.low = 0, x.high = 1, x.grad = grad;
  return x;
}

const Case kCases[] = {
    // Labels from -3: some rows are not counted.
    {"cross_entropy",
     [](int64_t rows, int64_t n) {
       return std::vector{Input::batch({rows, n}), Input::indices({rows}, -3, n)};
     },
     [](Ctx& c, const Tensors& in) -> Tensors { return {cross_entropy(c, in[0], in[1])}; }, 1},
    {"binary_cross_entropy",
     [](int64_t rows, int64_t n) {
       return std::vector{Input::batch({rows, n}), unit({rows, n}, false)};
     },
     [](Ctx& c, const Tensors& in) -> Tensors {
       return {binary_cross_entropy_with_logits(c, in[0], in[1])};
     }},
    {"squared_error",
     [](int64_t rows, int64_t n) {
       return std::vector{Input::batch({rows, n}), Input::batch({rows, n})};
     },
     [](Ctx& c, const Tensors& in) -> Tensors { return {squared_error(c, in[0], in[1])}; }},
};
INSTANTIATE_TEST_SUITE_P(Losses, Op, testing::ValuesIn(kCases), case_name);

TEST(CrossEntropy, RefusesALabelBeyondTheClasses) {
  Team team(1);
  Pool pool;
  Ctx c{&team, &pool};
  const Tensor x = Tensor::zeros(c, {2, 3});
  EXPECT_THROW(cross_entropy(c, x, Tensor::from(c, {0, 3})), Error);
  EXPECT_THROW(cross_entropy(c, x, Tensor::from(c, {0})), Error);
  EXPECT_FLOAT_EQ(static_cast<float>(cross_entropy(c, x, Tensor::from(c, {-100, 2})).item(1)),
                  std::log(3.0f));
}

TEST(BinaryCrossEntropy, IsFiniteAtExtremes) {
  Team team(1);
  Pool pool;
  Ctx c{&team, &pool};
  const std::vector<float> x = {-1000, 1000}, target = {1, 0};
  const Tensor y = binary_cross_entropy_with_logits(c, Tensor::from<float>(c, x, {2}),
                                                    Tensor::from<float>(c, target, {2}));
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{1000, 1000}));
}

}  // namespace
}  // namespace stemma::ops_test
