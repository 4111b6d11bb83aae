// A steady step asks the system for no memory: what the first steps took is used again.
#include <gtest/gtest.h>

#include "run/scheduler.h"
#include "steady/count_malloc.h"
#include "train/toy.h"

namespace stemma {
namespace {

#define NEEDS_COUNTING() \
  if (!malloc_is_counted()) GTEST_SKIP() << "malloc cannot be counted in this build"

TEST(Steady, MallocIsCounted) {
  NEEDS_COUNTING();
  const int64_t before = malloc_calls();
  std::vector<std::unique_ptr<int>> numbers;
  for (int i = 0; i < 10; ++i) numbers.push_back(std::make_unique<int>(i));
  EXPECT_GE(malloc_calls() - before, 10);
}

class SteadyTraining : public testing::TestWithParam<std::tuple<const char*, DType, bool, int>> {};

TEST_P(SteadyTraining, TakesNoMemoryFromTheSystem) {
  NEEDS_COUNTING();
  const auto [family, dtype, rematerialise, threads] = GetParam();
  Toy toy(family, threads);
  toy.c.rematerialise = rematerialise;
  toy.c.num.dtype = dtype;
  if (dtype == DType::bf16) toy.model().set_format(Format::bf16);
  Optimizer optimizer(toy.c, toy.model().params(), {});
  const std::vector<TrainPart> all = toy_rows(6, 1);
  const std::vector<TrainPart> parts = {joined(std::span(all).subspan(0, 3)),
                                        joined(std::span(all).subspan(3))};
  for (int step = 1; step <= 2; ++step) train_step(toy.c, toy.model(), parts, optimizer, 1e-3);
  const int64_t before = malloc_calls();
  for (int step = 3; step <= 5; ++step) train_step(toy.c, toy.model(), parts, optimizer, 1e-3);
  EXPECT_EQ(malloc_calls() - before, 0);
}

INSTANTIATE_TEST_SUITE_P(Toys, SteadyTraining,
                         testing::Combine(testing::Values("llama", "bert"),
                                          testing::Values(DType::f32, DType::bf16), testing::Bool(),
                                          testing::Values(1, 2)));

class SteadyDecoding : public testing::TestWithParam<std::tuple<DType, int>> {};

TEST_P(SteadyDecoding, TakesNoMemoryFromTheSystem) {
  NEEDS_COUNTING();
  const auto [dtype, threads] = GetParam();
  Toy toy("llama", threads);
  toy.c.num.dtype = dtype;
  if (dtype == DType::bf16) toy.model().set_format(Format::bf16);
  Scheduler scheduler(toy.c, toy.model(), nullptr);
  for (int r = 0; r < 3; ++r) {
    Request request;
    request.prompt = {1 + r, 2, 3};
    request.options.max_new_tokens = 20;
    scheduler.submit(std::move(request));
  }
  for (int step = 1; step <= 2; ++step) scheduler.step();
  const int64_t before = malloc_calls();
  for (int step = 3; step <= 5; ++step) scheduler.step();
  EXPECT_EQ(malloc_calls() - before, 0);
}

INSTANTIATE_TEST_SUITE_P(Toys, SteadyDecoding,
                         testing::Combine(testing::Values(DType::f32, DType::bf16),
                                          testing::Values(1, 2)));

}  // namespace
}  // namespace stemma
