#include "train/trainer.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <thread>

#include "base/file.h"
#include "support/temp_dir.h"
#include "train/full_disk.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRecipe = R"(
length = 24
batch = 4
steps = 12
seed = 5
validation = 0.1
eval_every = 4
save_every = 6
log_every = 2
[model]
width = 24
layers = 1
heads = 2
kv_heads = 1
[optimizer]
lr = 1e-2
)";

// A directory with a text to learn from and a run in it.
class Workplace {
 public:
  Workplace() {
    std::string text;
    for (int i = 0; i < 300; ++i) text += cat("the number after ", i, " is ", i + 1, "; ");
    write_file(dir_ / "text.txt", text);
  }
  fs::path out() const { return dir_ / "out"; }
  fs::path text() const { return dir_ / "text.txt"; }

  Recipe recipe(std::vector<std::string> overrides = {}) const {
    overrides.insert(overrides.begin(), {"data=" + text().string(), "out=" + out().string()});
    return parse_recipe(kRecipe, "test.toml", overrides);
  }

  // Trains; `stop_after` steps ask for a stop. True if the run is complete.
  bool train(std::vector<std::string> overrides = {}, bool resume = false, int threads = 1,
             int64_t stop_after = -1) {
    struct Stopper : TrainObserver {
      void progress(const Progress& p) override { stop = p.step == after; }
      std::atomic<bool> stop = false;
      int64_t after;
    } stopper;
    stopper.after = stop_after;
    Team team(threads);
    Pool pool;
    Ctx c{&team, &pool};
    Trainer trainer(c, recipe(std::move(overrides)), resume);
    return trainer.run(stopper, stopper.stop);
  }
  std::string weights(int64_t step) const {
    return read_file(checkpoint_path(out(), step) / "model.safetensors");
  }
  std::string moments(int64_t step) const {
    return read_file(checkpoint_path(out(), step) / "optimizer.safetensors");
  }
  // The log without what depends on the clock.
  std::vector<std::string> log() const {
    std::vector<std::string> lines;
    MetricsLog file(out() / "metrics.jsonl", INT64_MAX);
    for (const Metric& m : file.all())
      lines.push_back(cat(m.step, " ", m.tokens, " ", m.split, " ", m.loss, " ", m.lr, " ",
                          m.grad_norm, " ", m.epoch));
    return lines;
  }

 private:
  TempDir dir_;
};

std::string error_of(auto&& f, Code code = Code::kFailed) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.message();
    return error.message();
  }
  return "no error";
}

TEST(Trainer, LossFallsAndEverythingIsWritten) {
  Workplace run;
  EXPECT_TRUE(run.train({"steps=60"}));
  MetricsLog log(run.out() / "metrics.jsonl", INT64_MAX);
  const Metric& first = log.all().front();
  const Metric& last = log.all().back();
  EXPECT_NEAR(first.loss, std::log(257), 0.3);
  EXPECT_EQ(last.split, "validation");
  EXPECT_LT(last.loss, 0.6 * first.loss);
  EXPECT_EQ(last.step, 60);
  EXPECT_EQ(last.tokens, 60 * 4 * 24);
  EXPECT_TRUE(read_file(run.out() / "loss.svg").starts_with("<svg"));
  for (const char* name :
       {"config.json", "model.safetensors", "tokenizer.json", "optimizer.safetensors",
        "trainer_state.json", "data_state.json", "recipe.toml"})
    EXPECT_TRUE(fs::exists(checkpoint_path(run.out(), 60) / name)) << name;
  const Json state = Json::parse_file(checkpoint_path(run.out(), 60) / "trainer_state.json");
  EXPECT_EQ(state.at("global_step").as_int(), 60);
  EXPECT_GT(state.at("log_history").size(), 30u);
}

TEST(Trainer, ResumedRunIsTheUnbrokenOneToTheLastBit) {
  Workplace whole, broken;
  EXPECT_TRUE(whole.train());
  EXPECT_FALSE(broken.train({}, false, 1, 5));  // stopped where nothing was to be saved
  EXPECT_EQ(newest_checkpoint(broken.out()), checkpoint_path(broken.out(), 5));
  EXPECT_TRUE(broken.train({}, true));
  EXPECT_EQ(broken.weights(12), whole.weights(12));
  EXPECT_EQ(broken.moments(12), whole.moments(12));
  EXPECT_EQ(broken.log(), whole.log());
  // And again from the middle, over what is there.
  fs::remove_all(checkpoint_path(broken.out(), 12));
  EXPECT_TRUE(broken.train({"accumulation=1"}, true, 2));
  EXPECT_EQ(broken.weights(12), whole.weights(12));
  EXPECT_EQ(broken.log(), whole.log());
}

TEST(Trainer, ThreadsDoNotMatter) {
  Workplace one, two;
  one.train({"steps=4"}, false, 1);
  two.train({"steps=4"}, false, 2);
  EXPECT_EQ(one.weights(4), two.weights(4));
  EXPECT_EQ(one.log(), two.log());
}

TEST(Trainer, RematerialisationDoesNotMatter) {
  Workplace kept, again;
  EXPECT_TRUE(kept.train());
  EXPECT_TRUE(again.train({"rematerialise=block"}));
  EXPECT_EQ(again.weights(12), kept.weights(12));
  EXPECT_EQ(again.moments(12), kept.moments(12));
  EXPECT_EQ(again.log(), kept.log());
}

TEST(Trainer, CheckpointsAreModelsToGoOnFrom) {
  Workplace run;
  run.train({"steps=4"});
  Workplace next;
  EXPECT_TRUE(next.train(
      {"model=" + checkpoint_path(run.out(), 4).string(), "steps=2", "optimizer.lr=0.0"}));
  MetricsLog log(next.out() / "metrics.jsonl", INT64_MAX);
  EXPECT_LT(log.all().front().loss, std::log(257) - 0.1);
}

class TrainerOfAdapters : public testing::TestWithParam<const char*> {};

TEST_P(TrainerOfAdapters, ChangesThemAloneAndResumesExactly) {
  Workplace base, whole, broken;
  EXPECT_TRUE(base.train());
  const fs::path from = checkpoint_path(base.out(), 12);
  const std::string weights = base.weights(12);
  const std::vector<std::string> adapt = {"model=" + from.string(), cat("dtype=", GetParam()),
                                          "adapter.rank=3", "adapter.alpha=6",
                                          R"(adapter.targets=["q_proj", "down_proj"])"};
  EXPECT_TRUE(whole.train(adapt));
  EXPECT_FALSE(broken.train(adapt, false, 1, 5));
  EXPECT_TRUE(broken.train(adapt, true, 2));
  const fs::path trained = checkpoint_path(whole.out(), 12);
  for (const char* file : {"adapter_model.safetensors", "optimizer.safetensors"})
    EXPECT_EQ(read_file(checkpoint_path(broken.out(), 12) / file), read_file(trained / file))
        << file;
  EXPECT_EQ(broken.log(), whole.log());
  EXPECT_FALSE(fs::exists(trained / "model.safetensors"));
  EXPECT_EQ(base.weights(12), weights);

  Team team(1);
  Pool pool;
  Ctx c{.team = &team, .pool = &pool};
  LoadOptions options;
  const Checkpoint plain = load_checkpoint(c, from, options);
  options.adapter = trained;
  const Checkpoint adapted = load_checkpoint(c, from, options);
  Batch batch;
  batch.main.append({1, 2, 3});
  EXPECT_NE(adapted.model->forward(c, batch).to_vector<float>(),
            plain.model->forward(c, batch).to_vector<float>());
  EXPECT_EQ(adapted.model->adapters().front()->params().elements(), 3 * (24 + 24 + 24 + 64));
}

INSTANTIATE_TEST_SUITE_P(Dtypes, TrainerOfAdapters, testing::Values("f32", "int8", "int4"));

TEST(Trainer, AdaptersNeedACheckpoint) {
  Workplace w;
  EXPECT_THROW(w.train({"adapter.rank=2"}), Error);
}

TEST(Trainer, QuantisedWeightsNeedAnAdapter) {
  const Workplace w;
  EXPECT_THROW(w.recipe({"dtype=int8"}), Error);
  EXPECT_EQ(w.recipe({"dtype=int8", "adapter.rank=2"}).dtype, Format::int8);
}

// A process killed at any moment, in the middle of a save as well as not, leaves a run that can be
// resumed to the same end.

TEST(Trainer, KilledRunsGoOn) {
  Workplace whole, killed;
  const std::vector<std::string> often = {"save_every=1", "steps=14"};
  EXPECT_TRUE(whole.train(often));
  for (int round = 0; round < 3; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      try {
        killed.train(often, true);
      } catch (...) {
        _exit(1);
      }
      _exit(0);
    }
    // Saving takes most of the time here: a few milliseconds after a checkpoint appeared, the next
    // one is being written.
    const auto before = newest_checkpoint(killed.out());
    for (int i = 0; i < 5000 && newest_checkpoint(killed.out()) == before; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(4 + 9 * round));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
  }
  EXPECT_TRUE(killed.train(often, true));
  EXPECT_EQ(killed.weights(14), whole.weights(14));
  EXPECT_EQ(killed.log(), whole.log());
}

TEST(Trainer, HalfWrittenCheckpointsAreNotSeen) {
  Workplace run;
  run.train({"steps=2"});
  // What a kill in the middle of a save leaves behind.
  fs::copy(checkpoint_path(run.out(), 2), run.out() / "checkpoint-7.tmp");
  fs::create_directory(run.out() / "checkpoint-9");
  fs::create_directory(run.out() / "checkpoint-x");
  EXPECT_EQ(newest_checkpoint(run.out()), checkpoint_path(run.out(), 2));
}

TEST(Trainer, FullDiskLeavesTheOlderCheckpoint) {
  Workplace run;
  EXPECT_TRUE(run.train({"steps=2"}));
  const std::string before = run.weights(2);
  {
    FullDisk full(20000);
    const std::string message = error_of([&] { run.train({"steps=4", "save_every=1"}, true); });
    EXPECT_NE(message.find("too large"), message.npos) << message;
  }
  EXPECT_EQ(newest_checkpoint(run.out()), checkpoint_path(run.out(), 2));
  EXPECT_FALSE(fs::exists(run.out() / "checkpoint-3.tmp"));
  EXPECT_EQ(run.weights(2), before);
  EXPECT_TRUE(run.train({"steps=4"}, true));
}

TEST(Trainer, RefusesToOverwriteARun) {
  Workplace run;
  run.train({"steps=2"});
  EXPECT_NE(error_of([&] { run.train({"steps=2"}); }, Code::kUsage).find("--resume"),
            std::string::npos);
}

TEST(Trainer, RefusesToResumeSomethingElse) {
  Workplace run;
  run.train({"steps=2"});
  const std::string other = error_of([&] { run.train({"seed=6", "batch=2"}, true); }, Code::kUsage);
  EXPECT_NE(other.find("differs in batch, seed"), other.npos) << other;
  write_file(run.text(), read_file(run.text()) + " and more");
  const std::string data = error_of([&] { run.train({}, true); });
  EXPECT_NE(data.find("files have changed"), data.npos) << data;
}

TEST(Trainer, SaysWhyItCannotStart) {
  Workplace run;
  const std::string file = error_of([&] { run.train({"out=" + run.text().string() + "/x"}); });
  EXPECT_NE(file.find("is not a directory"), file.npos) << file;
  EXPECT_NE(error_of([&] { run.train({"model=nowhere"}); }, Code::kNotFound).find("nowhere"),
            std::string::npos);
  error_of([&] { run.train({"data=nowhere.txt"}); }, Code::kNotFound);
  error_of([&] { run.train({"tokenizer=nowhere"}); }, Code::kNotFound);
  error_of([&] { run.train({"model.family=gpt9"}); }, Code::kUnsupported);
  error_of([&] { run.train({"model.family=bert"}); }, Code::kUnsupported);
  error_of([&] { run.train({"objective=masked"}); }, Code::kUsage);
  error_of([&] { run.train({"model.config.vocab_size=10"}); }, Code::kUsage);
  EXPECT_FALSE(fs::exists(run.out())) << "nothing is written before the run starts";
}

TEST(Trainer, UnwritableOut) {
  Workplace run;
  // Nobody, not even the superuser, can make a directory there.
  const std::string message = error_of([&] { run.train({"out=/proc/run"}); });
  EXPECT_NE(message.find("/proc"), message.npos) << message;
}

TEST(Trainer, DivergenceIsAnErrorAndWhatWasSavedStays) {
  Workplace run;
  run.train({"steps=2"});
  const std::string message = error_of([&] {
    run.train({"optimizer.lr=1e30", "schedule.warmup=0", "optimizer.max_grad_norm=0"}, true);
  });
  EXPECT_NE(message.find("lower optimizer.lr"), message.npos) << message;
  EXPECT_EQ(newest_checkpoint(run.out()), checkpoint_path(run.out(), 2));
}

TEST(Trainer, MaskedObjectiveWithATrainedVocabulary) {
  Workplace run;
  EXPECT_TRUE(run.train(
      {"objective=masked", "tokenizer=bpe:300", "steps=30", "model.kv_heads=0", "mask_rate=0.3"}));
  MetricsLog log(run.out() / "metrics.jsonl", INT64_MAX);
  EXPECT_LT(log.all().back().loss, 0.9 * log.all().front().loss);
  const Json config = Json::parse_file(checkpoint_path(run.out(), 30) / "config.json");
  EXPECT_EQ(config.at("architectures").at(size_t{0}).as_string(), "BertForMaskedLM");
  // What has learnt to look both ways cannot learn to go forward.
  Workplace next;
  const std::string model = "model=" + checkpoint_path(run.out(), 30).string();
  const std::string message = error_of([&] { next.train({model}); }, Code::kUnsupported);
  EXPECT_NE(message.find("causal"), message.npos) << message;
}

TEST(Trainer, SentencesAreAskedAbout) {
  for (const auto& [sentences, family, architecture] :
       {std::tuple{"next", "bert", "BertForPreTraining"},
        std::tuple{"order", "albert", "AlbertForPreTraining"}}) {
    Workplace run;
    EXPECT_TRUE(run.train({"objective=masked", "tokenizer=bpe:300", "steps=4", "model.kv_heads=0",
                           cat("sentences=", sentences), cat("model.family=", family),
                           "mask_words=true", "mask_copies=1"}));
    const Json config = Json::parse_file(checkpoint_path(run.out(), 4) / "config.json");
    EXPECT_EQ(config.at("architectures").at(size_t{0}).as_string(), architecture);
  }
}

// Of an encoder and a decoder, on what `data` holds.
std::vector<std::string> with_sources(const char* objective) {
  return {cat("objective=", objective), "tokenizer=bpe:300", "model.kv_heads=0", "steps=30",
          "optimizer.lr=3e-2"};
}

TEST(Trainer, SpanCorruptionWithATrainedVocabulary) {
  Workplace run, killed;
  EXPECT_TRUE(run.train(with_sources("span_corruption")));
  MetricsLog log(run.out() / "metrics.jsonl", INT64_MAX);
  EXPECT_LT(log.all().back().loss, 0.8 * log.all().front().loss);
  // Stopped and gone on with, on more threads, it is the same run.
  EXPECT_FALSE(killed.train(with_sources("span_corruption"), false, 1, 7));
  EXPECT_TRUE(killed.train(with_sources("span_corruption"), true, 2));
  EXPECT_EQ(killed.weights(30), run.weights(30));
  EXPECT_EQ(killed.log(), run.log());
}

TEST(Trainer, WhatFollowsAPrefixIsLearnt) {
  Workplace run;
  EXPECT_TRUE(run.train({"objective=prefix", "steps=30"}));
  MetricsLog log(run.out() / "metrics.jsonl", INT64_MAX);
  EXPECT_LT(log.all().back().loss, 0.7 * log.all().front().loss);
}

TEST(Trainer, PairsAreLearnt) {
  Workplace run;
  std::string pairs;
  for (int i = 0; i < 60; ++i)
    pairs += cat("{\"source\": \"say ", i % 5, "\", \"target\": \"it is ", i % 5, "\"}\n");
  write_file(run.out().parent_path() / "pairs.jsonl", pairs);
  std::vector<std::string> recipe = with_sources("seq2seq");
  recipe.push_back("data=" + (run.out().parent_path() / "pairs.jsonl").string());
  recipe.insert(recipe.end(), {"tokenizer=bytes", "target_length=12", "length=16"});
  EXPECT_TRUE(run.train(recipe));
  MetricsLog log(run.out() / "metrics.jsonl", INT64_MAX);
  EXPECT_LT(log.all().back().loss, 0.7 * log.all().front().loss);
  const Json config = Json::parse_file(checkpoint_path(run.out(), 30) / "config.json");
  EXPECT_EQ(config.at("architectures").at(size_t{0}).as_string(), "T5ForConditionalGeneration");
  EXPECT_EQ(config.at("d_ff").as_int(), 96);
}

TEST(Plan, CountsWhatTheModelHas) {
  Workplace run;
  Team team(1);
  Pool pool;
  Ctx c{&team, &pool};
  const std::vector<std::string> sizes = {"model.width=64", "model.layers=3", "model.heads=4",
                                          "length=64", "batch=8"};
  Trainer trainer(c, run.recipe(sizes), false);
  const Plan& plan = trainer.plan();
  // Embedding 257 x 64; per layer q, out 64 x 64, k, v 16 x 64, gate, up, down 192 x 64, two norms.
  EXPECT_EQ(plan.parameters, 257 * 64 + 3 * (2 * 64 * 64 + 2 * 16 * 64 + 3 * 192 * 64 + 128) + 64);
  EXPECT_EQ(plan.tokens_per_step, 512);
  const double weights = 257 * 64 + 3 * (2 * 64 * 64 + 2 * 16 * 64 + 3 * 192 * 64);
  const double attention = 3 * 12 * 64 * (64 * 65 / 2) * 8;
  EXPECT_NEAR(plan.flops_per_step, 6 * weights * 512 + attention, 1);
  EXPECT_GT(plan.peak_flops, 1e8);
}

TEST(Plan, MemoryIsWhatTheRunTakes) {
  for (const char* model : {"model.family=llama", "model.family=bert", "model.family=t5"})
    for (const char* rematerialise : {"none", "block"}) {
      Workplace run;
      Team team(1);
      Pool pool;
      Ctx c{&team, &pool};
      std::vector<std::string> recipe = {model,
                                         "model.width=64",
                                         "model.layers=4",
                                         "model.heads=4",
                                         "length=64",
                                         "batch=16",
                                         cat("rematerialise=", rematerialise)};
      if (std::string_view(model).ends_with("bert"))
        recipe.insert(recipe.end(), {"objective=masked", "tokenizer=bpe:300", "model.kv_heads=4"});
      if (std::string_view(model).ends_with("t5"))
        recipe.insert(recipe.end(),
                      {"objective=span_corruption", "tokenizer=bpe:300", "model.kv_heads=4"});
      Trainer trainer(c, run.recipe(recipe), false);
      std::atomic<bool> stop = true;
      TrainObserver nobody;
      trainer.run(nobody, stop);
      const auto used = static_cast<double>(trainer.peak_memory());
      const auto planned = static_cast<double>(trainer.plan().memory());
      EXPECT_LT(std::abs(planned - used), 0.05 * used)
          << model << ", rematerialise " << rematerialise << ": " << planned << " planned, " << used
          << " used";
    }
}

}  // namespace
}  // namespace stemma
