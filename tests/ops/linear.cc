#include "ops/linear.h"

#include <deque>
#include <thread>

#include "ops/driver.h"

namespace stemma::ops_test {
namespace {

// Small, so that a sum of hundreds of products keeps the driver's tolerance.
Input operand(Shape shape, bool rows = false) { return {shape, rows, true, false, -0.3, 0.3}; }

std::vector<Input> operands(int64_t rows, int64_t n) {
  return {operand({rows, n}, true), operand({n + 2, n}), operand({n + 2})};
}

const Case kCases[] = {
    {"linear", operands,
     [](Ctx& c, const Tensors& in) { return Tensors{linear(c, in[0], in[1], in[2])}; }},
    {"linear_without_bias",
     [](int64_t rows, int64_t n) {
       return std::vector<Input>{operand({rows, n}, true), operand({2 * n + 1, n})};
     },
     [](Ctx& c, const Tensors& in) { return Tensors{linear(c, in[0], in[1])}; }},
    {"linear_packed", operands,
     [](Ctx& c, const Tensors& in) {
       static std::deque<WeightPacks> kept;  // as a parameter keeps them: past the backward pass
       WeightPacks& packs = kept.emplace_back();
       return Tensors{linear(c, in[0], in[1], in[2], &packs), linear(c, in[0], in[1], {}, &packs)};
     }},
};
INSTANTIATE_TEST_SUITE_P(Linear, Op, testing::ValuesIn(kCases), case_name);

}  // namespace
}  // namespace stemma::ops_test

namespace stemma {
namespace {

TEST(WeightPacks, FollowTheWeightAfterABump) {
  Team team(2);
  Pool pool;
  Ctx c{.team = &team, .pool = &pool};
  Tensor x = Tensor::from<float>(c, std::vector<float>{1, 2}, {1, 2});
  Tensor w = Tensor::from<float>(c, std::vector<float>{3, 4}, {1, 2});
  WeightPacks packs;
  EXPECT_EQ(linear(c, x, w, {}, &packs).item(), 11);
  w.data<float>()[0] = 5;
  packs.bump();
  EXPECT_EQ(linear(c, x, w, {}, &packs).item(), 13);
}

TEST(WeightPacks, MayBeFilledBySeveralThreads) {
  Team team(1);
  Pool pool;
  Ctx c{.team = &team, .pool = &pool};
  std::vector<float> values(300);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 7);
  const Tensor x = Tensor::from<float>(c, values, {10, 30});
  const Tensor w = Tensor::from<float>(c, values, {10, 30});
  const std::vector<float> want = linear(c, x, w).to_vector<float>();
  WeightPacks packs;
  std::vector<std::vector<float>> got(4);
  std::vector<std::thread> threads;
  for (auto& result : got)
    threads.emplace_back([&] {
      Team own(1);
      Ctx mine{.team = &own, .pool = &pool};
      result = linear(mine, x, w, {}, &packs).to_vector<float>();
    });
  for (auto& thread : threads) thread.join();
  for (const auto& result : got) EXPECT_EQ(result, want);
}

TEST(Linear, RefusesShapesThatDoNotFit) {
  Team team(1);
  Pool pool;
  Ctx c{.team = &team, .pool = &pool};
  const Tensor x = Tensor::zeros(c, {2, 3}), w = Tensor::zeros(c, {4, 5});
  EXPECT_THROW(linear(c, x, w), Error);
  EXPECT_THROW(linear(c, x, Tensor::zeros(c, {4, 3}), Tensor::zeros(c, {3})), Error);
}

}  // namespace
}  // namespace stemma
