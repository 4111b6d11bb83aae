// The scheduler's bookkeeping: cancelling, memory that does not suffice, other threads, kept
// states.
#include "run/scheduler.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/rng.h"
#include "model/adapter_files.h"
#include "run/engine.h"
#include "run/tiny_model.h"

namespace stemma {
namespace {

class Scheduling : public testing::Test {
 protected:
  Scheduling() : engine_(1), c_(engine_.ctx()), model_(tiny_causal_model(c_)) {}

  Request request(int tokens, int new_tokens, Generated& into) {
    Request r;
    for (int i = 0; i < tokens; ++i) r.prompt.push_back((i * 37 + 11) % 251);
    r.options.max_new_tokens = new_tokens;
    r.on_done = [&into](Generated g) { into = std::move(g); };
    return r;
  }
  int64_t bytes_for(int tokens) const {
    return StateStore(state_specs(model_->spec())).bytes_for(tokens);
  }

  Engine engine_;
  Ctx c_;
  std::unique_ptr<Model> model_;
};

TEST_F(Scheduling, ARequestIsCancelledBeforeAndWhileItRuns) {
  Scheduler scheduler(c_, *model_, nullptr, {.kept = 0});
  Generated first, second, third;
  const Scheduler::Id a = scheduler.submit(request(5, 100, first));
  const Scheduler::Id b = scheduler.submit(request(6, 100, second));
  scheduler.cancel(b);
  scheduler.submit(request(7, 5, third));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(scheduler.step());
  scheduler.cancel(a);
  scheduler.cancel(a + 100);
  scheduler.run();
  EXPECT_EQ(first.finish_reason, "cancelled");
  EXPECT_EQ(first.ids.size(), 3u);
  EXPECT_EQ(second.finish_reason, "cancelled");
  EXPECT_TRUE(second.ids.empty());
  EXPECT_EQ(third.finish_reason, "length");
  EXPECT_EQ(scheduler.state_bytes(), 0);
  EXPECT_FALSE(scheduler.step());
}

TEST_F(Scheduling, WhatCannotFitFailsAloneAndTheRestGoesOn) {
  Scheduler scheduler(c_, *model_, nullptr, {.chunk = 32, .state_bytes = bytes_for(100)});
  Generated small, large, grows, last;
  scheduler.submit(request(20, 10, small));
  scheduler.submit(request(300, 10, large));
  scheduler.submit(request(100, 200, grows));
  scheduler.submit(request(30, 10, last));
  scheduler.run();
  EXPECT_EQ(small.finish_reason, "length");
  EXPECT_EQ(large.finish_reason, "error");
  EXPECT_NE(large.error.find("budget"), std::string::npos) << large.error;
  EXPECT_EQ(grows.finish_reason, "error");
  EXPECT_EQ(grows.ids.size(), 29u) << "two pages are 128 tokens";
  EXPECT_EQ(last.finish_reason, "length");
}

TEST_F(Scheduling, TheLastGivesWayAndIsComputedAgain) {
  constexpr int kPrompt = 50, kNew = 100;
  std::vector<Generated> alone(2), tight(2);
  auto run = [&](int64_t state_bytes, std::vector<Generated>& out) {
    Scheduler scheduler(c_, *model_, nullptr, {.state_bytes = state_bytes, .kept = 0});
    for (size_t i = 0; i < 2; ++i) {
      Request r = request(kPrompt, kNew, out[i]);
      r.prompt[0] = static_cast<int32_t>(i);
      scheduler.submit(std::move(r));
    }
    scheduler.run();
    return scheduler.tokens_computed();
  };
  const int64_t least = 2 * (kPrompt + kNew - 1);
  EXPECT_EQ(run(StateStore::kUnlimited, alone), least);
  // Both begin, with a page each; only one can have its third.
  EXPECT_GT(run(2 * bytes_for(128), tight), least);
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(tight[i].ids, alone[i].ids);
}

TEST_F(Scheduling, BadRequestsAreRefusedAtOnce) {
  Scheduler scheduler(c_, *model_, nullptr);
  Request empty, foreign;
  foreign.prompt = {1, 257};
  EXPECT_THROW(scheduler.submit(empty), Error);
  EXPECT_THROW(scheduler.submit(foreign), Error);
  Generated none;
  scheduler.submit(request(3, 0, none));
  scheduler.run();
  EXPECT_EQ(none.finish_reason, "length");
  EXPECT_TRUE(none.ids.empty());
}

TEST_F(Scheduling, TheNextTurnGoesOnFromTheLast) {
  Scheduler scheduler(c_, *model_, nullptr, {.kept = 1});
  Generated reply, next;
  Request first = request(200, 30, reply), second = request(200, 4, next);
  scheduler.submit(std::move(first));
  scheduler.run();
  const int64_t before = scheduler.tokens_computed();
  second.prompt.insert(second.prompt.end(), reply.ids.begin(), reply.ids.end());
  second.prompt.insert(second.prompt.end(), {1, 2, 3, 4, 5});
  scheduler.submit(std::move(second));
  scheduler.run();
  // The last token of the reply, which was never fed back, the five, and three that were generated.
  EXPECT_EQ(scheduler.tokens_computed() - before, 1 + 5 + 3);
  EXPECT_EQ(next.ids.size(), 4u);
}

TEST_F(Scheduling, EachRequestGoesThroughItsAdapterAndSharesOnlyWithIt) {
  Checkpoint checkpoint =
      empty_checkpoint(Json::object({{"model_type", "llama"},
                                     {"architectures", Json::array({"LlamaForCausalLM"})},
                                     {"vocab_size", 257},
                                     {"hidden_size", 24},
                                     {"num_hidden_layers", 2},
                                     {"num_attention_heads", 4},
                                     {"intermediate_size", 40}}));
  Model& model = *checkpoint.model;
  model.params().make_flat(c_, 3, false);
  for (uint64_t seed : {1, 2}) {
    auto adapter = make_adapter(checkpoint, {.rank = 3, .alpha = 6});
    adapter->params().make_flat(c_, seed, false);
    const Tensor& values = adapter->params().values();
    for (int64_t i = 0; i < values.elements(); ++i)
      values.data<float>()[i] =
          static_cast<float>(0.2 * RngKey(seed).normal(static_cast<uint64_t>(i)));
    model.adapters().push_back(std::move(adapter));
  }
  const std::optional<int32_t> choices[] = {0, 1, -1, {}};
  std::vector<Generated> alone(4), together(4);
  Scheduler all(c_, model, nullptr);
  for (size_t i = 0; i < 4; ++i) {
    Scheduler own(c_, model, nullptr);
    for (auto [scheduler, out] : {std::pair(&own, &alone), {&all, &together}}) {
      Request r = request(150, 12, (*out)[i]);
      r.adapter = choices[i];
      scheduler->submit(std::move(r));
    }
    own.run();
  }
  all.run();
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(together[i].ids, alone[i].ids);
  EXPECT_NE(alone[0].ids, alone[1].ids);
  EXPECT_NE(alone[0].ids, alone[2].ids);
  EXPECT_EQ(alone[0].ids, alone[3].ids);
  Generated none;
  Request r = request(3, 1, none);
  r.adapter = 2;
  EXPECT_THROW(all.submit(std::move(r)), Error);
}

TEST_F(Scheduling, OtherThreadsSubmitWhileItServes) {
  Scheduler scheduler(c_, *model_, nullptr);
  constexpr int kThreads = 3, kEach = 5;
  std::vector<Generated> out(kThreads * kEach);
  std::vector<std::thread> clients;
  for (int t = 0; t < kThreads; ++t)
    clients.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const auto at = static_cast<size_t>(t * kEach + i);
        const Scheduler::Id id = scheduler.submit(request(3 + i, 10, out[at]));
        if (i == 2) scheduler.cancel(id);
      }
    });
  std::thread closer([&] {
    for (std::thread& client : clients) client.join();
    scheduler.close();
  });
  scheduler.serve();
  closer.join();
  for (size_t i = 0; i < out.size(); ++i) {
    EXPECT_FALSE(out[i].finish_reason.empty());
    if (i % kEach != 2) {
      EXPECT_EQ(out[i].ids, out[i % kEach].ids);
    }
  }
}

}  // namespace
}  // namespace stemma
