// The law of company: what a prompt yields, ids and log-probabilities, bit for bit, whatever runs
// beside it, in whatever chunks and order, with whatever memory.
#include <gtest/gtest.h>

#include "laws/laws.h"
#include "run/scheduler.h"
#include "run/score.h"

namespace stemma {
namespace {

struct Result {
  Ints ids;
  std::vector<double> logprobs;
  bool operator==(const Result&) const = default;
};

class SchedulerLaws : public Laws {
 protected:
  SchedulerLaws() {
    ModelSpec spec = seed() % 3 == 2 ? random_spec_of_both(seed()) : random_spec(seed(), true);
    spec.max_positions = 400;
    if (auto* learned = std::get_if<LearnedPositions>(&spec.embed.position)) learned->rows = 400;
    model_ = made(spec);
    Draw d(seed() + 3000);
    auto random_ids = [&](int count) {
      Ints ids;
      for (int i = 0; i < count; ++i) ids.push_back(d.upto(spec.embed.vocab));
      return ids;
    };
    const Ints system = random_ids(d.between(64, 140));  // some prompts begin alike
    for (int i = 0; i < 9; ++i) {
      Ints ids = i % 2 == 0 ? system : Ints();
      const Ints rest = random_ids(d.between(1, i == 3 ? 150 : 30));
      ids.insert(ids.end(), rest.begin(), rest.end());
      GenerateOptions o;
      o.max_new_tokens = d.between(1, 40);
      o.prefix = i % 4 == 1 && std::ranges::all_of(spec.decoder->blocks, [](const auto& block) {
                   return sees_prefix(block.mixer);
                 });
      o.logprobs = true;
      o.sampling.sample = d.coin();
      o.sampling.temperature = 1.3;
      o.sampling.top_k = 12;
      o.sampling.top_p = 0.97;
      o.sampling.seed = static_cast<uint64_t>(i);
      requests_.push_back({ids, o});
    }
  }

  // Results by request, whose `order` is that of arrival; `late` of them arrive while others run.
  std::vector<Result> run(const SchedulerOptions& options, const std::vector<size_t>& order,
                          size_t late = 0) {
    Scheduler scheduler(c_, *model_, nullptr, options);
    std::vector<Result> out(requests_.size());
    auto submit = [&](size_t i) {
      Request request = requests_[i];
      request.on_done = [&out, i](Generated g) {
        EXPECT_EQ(g.finish_reason, "length");
        out[i] = {std::move(g.ids), std::move(g.logprobs)};
      };
      scheduler.submit(std::move(request));
    };
    size_t next = 0;
    while (next + late < order.size()) submit(order[next++]);
    while (scheduler.step() || next < order.size())
      if (next < order.size()) submit(order[next++]);
    computed_ = scheduler.tokens_computed();
    return out;
  }
  std::vector<Result> alone() {
    std::vector<Result> out;
    for (size_t i = 0; i < requests_.size(); ++i) out.push_back(run({}, {i})[i]);
    return out;
  }

  std::unique_ptr<Model> model_;
  std::vector<Request> requests_;
  int64_t computed_ = 0;
  const std::vector<size_t> in_order_ = {0, 1, 2, 3, 4, 5, 6, 7, 8},
                            mixed_ = {4, 8, 3, 0, 7, 1, 6, 2, 5};
};

TEST_P(SchedulerLaws, APromptIsItsOwn) {
  const std::vector<Result> expected = alone();
  EXPECT_EQ(run({}, in_order_), expected);
  EXPECT_EQ(run({.chunk = 7, .max_running = 3, .kept = 0}, in_order_), expected);
  EXPECT_EQ(run({.chunk = 33, .max_running = 4}, mixed_, 6), expected);
  EXPECT_EQ(run({.chunk = 100, .kept = 0}, mixed_, 3), expected);
}

TEST_P(SchedulerLaws, MemoryAndThreadsChangeNoBit) {
  const std::vector<Result> expected = alone();
  int64_t most = 0;
  const StateStore sizes(state_specs(model_->spec()));
  for (const Request& r : requests_)
    most =
        std::max(most, sizes.bytes_for(static_cast<int>(r.prompt.size()) + r.options.max_new_tokens,
                                       static_cast<int>(r.prompt.size())));
  EXPECT_EQ(run({.chunk = 40, .state_bytes = most + most / 2}, in_order_), expected);
  EXPECT_EQ(run({.chunk = 40, .state_bytes = most, .kept = 0}, mixed_), expected);
  Engine three(3);
  c_ = three.ctx();
  EXPECT_EQ(run({}, mixed_), expected);
}

// The log-probabilities of what was generated are those of scoring, and so of training.
TEST_P(SchedulerLaws, LogProbabilitiesAreThoseOfTheTrainingForward) {
  const std::vector<Result> results = run({.chunk = 50}, in_order_);
  const bool reads = model_->spec().reads_source();
  for (size_t i = 0; i < results.size(); ++i) {
    if (requests_[i].options.prefix) continue;  // score() sees none
    std::vector<Ints> text(1), source;
    (reads ? source.emplace_back() : text[0]) = requests_[i].prompt;
    text[0].insert(text[0].end(), results[i].ids.begin(), results[i].ids.end());
    const std::vector<double> scored = score(c_, *model_, text, source)[0].logprobs;
    const size_t first = scored.size() - results[i].ids.size();
    for (size_t t = 0; t < results[i].ids.size(); ++t)
      EXPECT_NEAR(results[i].logprobs[t], scored[first + t], 1e-5);
  }
}

TEST_P(SchedulerLaws, WhatBeginsAlikeIsComputedOnce) {
  if (model_->spec().reads_source()) GTEST_SKIP() << "sources are read whole, each by itself";
  for (const StateSpec& spec : state_specs(model_->spec()))
    if (std::holds_alternative<RecurrentSpec>(spec))
      GTEST_SKIP() << "a recurrence is shared from its snapshots alone";
  run({.kept = 0}, {0, 2, 4, 6, 8});
  int64_t tokens = 0;
  for (size_t i : {0, 2, 4, 6, 8})
    tokens +=
        static_cast<int64_t>(requests_[i].prompt.size()) + requests_[i].options.max_new_tokens - 1;
  EXPECT_LE(computed_, tokens - 4 * 64);
}

INSTANTIATE_TEST_SUITE_P(RandomSpecs, SchedulerLaws, testing::Range(0, 8));

}  // namespace
}  // namespace stemma
