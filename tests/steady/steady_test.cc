// A steady step asks the system for no memory: what the first steps took is used again.
#include <gtest/gtest.h>

#include "run/engine.h"
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

// How often `step` asks, the third to the fifth time that it runs.
int64_t calls_when_steady(const std::function<void()>& step) {
  for (int i = 1; i <= 2; ++i) step();
  const int64_t before = malloc_calls();
  for (int i = 3; i <= 5; ++i) step();
  return malloc_calls() - before;
}

// Where threads take lists of their own, how many are alive at once, and so when the pool has them
// all, is a matter of chance; but then there are enough: three steps in a row take none.
bool becomes_steady(const std::function<void()>& step) {
  int without = 0;
  for (int i = 1; i <= 19 && without < 3; ++i) {
    const int64_t before = malloc_calls();
    step();
    without = malloc_calls() == before ? without + 1 : 0;
  }
  return without == 3;
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
  const std::vector<TrainPart> all = toy_rows(6, 1, family);
  const std::vector<TrainPart> parts = {joined(std::span(all).subspan(0, 3)),
                                        joined(std::span(all).subspan(3))};
  EXPECT_EQ(calls_when_steady([&] { train_step(toy.c, toy.model(), parts, optimizer, 1e-3); }), 0);
}

INSTANTIATE_TEST_SUITE_P(Toys, SteadyTraining,
                         testing::Combine(testing::Values("llama", "bert", "t5"),
                                          testing::Values(DType::f32, DType::bf16), testing::Bool(),
                                          testing::Values(1, 2)));

// The configs of the committed training cases: a family each.
class SteadyFamilies : public testing::TestWithParam<const char*> {};

TEST_P(SteadyFamilies, TakeNoMemoryFromTheSystem) {
  NEEDS_COUNTING();
  Engine engine(2);
  Ctx c = engine.ctx();
  const std::filesystem::path cases = std::filesystem::path(STEMMA_SOURCE_DIR) / "tests/cases";
  const Checkpoint made =
      empty_checkpoint(Json::parse_file(cases / GetParam() / "model" / "config.json"));
  Model& model = *made.model;
  model.params().make_flat(c, 3, true);
  Optimizer optimizer(c, model.params(), {});
  std::vector<TrainPart> parts = {joined(toy_rows(3, 1)), joined(toy_rows(3, 2))};
  for (TrainPart& part : parts)
    for (Ints* ids : {&part.batch.main.ids, &part.labels})
      for (int32_t& id : *ids) id = std::min(id, model.spec().embed.vocab - 1);
  EXPECT_TRUE(becomes_steady([&] { train_step(c, model, parts, optimizer, 1e-3); }));
}

// Not among them: experts, whose router makes lists anew for each batch.
INSTANTIATE_TEST_SUITE_P(Cases, SteadyFamilies,
                         testing::Values("albert/train_masked", "gpt2/train_causal",
                                         "mamba/train_causal", "mamba2/train_causal",
                                         "modernbert/train_masked"));

class SteadyDecoding : public testing::TestWithParam<std::tuple<const char*, DType, int>> {
 protected:
  static constexpr int kSequences = 3, kLayers = 2;  // of toy_config()

  SteadyDecoding() : toy_(std::get<0>(GetParam()), std::get<2>(GetParam())) {
    const DType dtype = std::get<1>(GetParam());
    toy_.c.num.dtype = dtype;
    if (dtype == DType::bf16) toy_.model().set_format(Format::bf16);
    scheduler_ = std::make_unique<Scheduler>(toy_.c, toy_.model(), nullptr);
  }
  void submit(int max_new_tokens, const Sampling& sampling = {}) {
    for (int r = 0; r < kSequences; ++r) {
      Request request;
      request.prompt = {1 + r, 2, 3};
      request.options.max_new_tokens = max_new_tokens;
      request.options.sampling = sampling;
      request.options.logprobs = sampling.sample;
      scheduler_->submit(std::move(request));
    }
  }

  // Tokens that a sequence of the decoder begins with.
  int begins() { return toy_.model().spec().reads_source() ? 1 : 3; }

  Toy toy_;
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_P(SteadyDecoding, TakesNoMemoryFromTheSystem) {
  NEEDS_COUNTING();
  submit(20);
  EXPECT_EQ(calls_when_steady([&] { scheduler_->step(); }), 0);
}

TEST_P(SteadyDecoding, NorDoesSampling) {
  NEEDS_COUNTING();
  submit(20, {.sample = true,
              .temperature = 1.1,
              .top_k = 40,
              .top_p = 0.9,
              .min_p = 0.01,
              .repetition_penalty = 1.2});
  EXPECT_TRUE(becomes_steady([&] { scheduler_->step(); }));
}

// Every 64 tokens a sequence needs a page more for each layer, and may need room to list it.
TEST_P(SteadyDecoding, GrowsByPagesAlone) {
  NEEDS_COUNTING();
  submit(200);
  for (int step = 1; step <= 2; ++step) scheduler_->step();
  for (int length = begins() + 1; length < begins() + 199; ++length) {
    const int64_t before = malloc_calls();
    scheduler_->step();
    const int64_t calls = malloc_calls() - before;
    // A bias of distances is as long as the context, in steps of eight.
    const int longer = std::get<0>(GetParam()) == std::string_view("t5") && length % 8 == 0;
    if (length % KvLayout::kTokens == 0)
      EXPECT_LE(calls, 2 * kSequences * kLayers + longer) << length;
    else
      EXPECT_LE(calls, longer) << length;
  }
}

INSTANTIATE_TEST_SUITE_P(Toys, SteadyDecoding,
                         testing::Combine(testing::Values("llama", "t5"),
                                          testing::Values(DType::f32, DType::bf16),
                                          testing::Values(1, 2)));

}  // namespace
}  // namespace stemma
