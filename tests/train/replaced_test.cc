// Replaced-token detection and permutation language modelling, as arithmetic and as runs.
#include "train/replaced.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "ops/primitives.h"
#include "run/engine.h"
#include "support/temp_dir.h"
#include "train/trainer.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

Json config(const char* architecture, int layers) {
  return Json::object({{"model_type", "deberta-v2"},
                       {"architectures", Json::array({Json(architecture)})},
                       {"vocab_size", 40},
                       {"hidden_size", 16},
                       {"num_hidden_layers", layers},
                       {"num_attention_heads", 2},
                       {"intermediate_size", 24},
                       {"max_position_embeddings", 24},
                       {"relative_attention", true},
                       {"pos_att_type", "c2p|p2c"},
                       {"position_buckets", 6},
                       {"position_biased_input", true},
                       {"share_att_key", true},
                       {"legacy", false}});
}

class Replaced : public testing::Test {
 protected:
  Replaced()
      : engine_(1),
        c_(engine_.ctx()),
        generator_(empty_checkpoint(config("DebertaV2ForMaskedLM", 1))),
        discriminator_(make_discriminator(config("DebertaV2ForReplacedTokenDetection", 2))) {
    generator_.model->params().make_flat(c_, 1, true);
    share_embedding(*generator_.model, *discriminator_.model);
    discriminator_.model->params().make_flat(c_, 2, true);
    part_.batch.main.append(Ints{1, 3, 9, 3, 12, 2});
    part_.batch.main.append(Ints{1, 3, 3, 7});
    part_.labels = {-100, 5, -100, 6, -100, -100, -100, 8, 9, -100};
  }
  Model& generator() { return *generator_.model; }
  Model& discriminator() { return *discriminator_.model; }
  ReplacedResult step(const OptimizerSpec& of_generator, const OptimizerSpec& of_discriminator) {
    Optimizer g(c_, generator().params(), of_generator),
        d(c_, discriminator().params(), of_discriminator);
    return replaced_step(c_, {generator(), discriminator(), g, d}, std::span(&part_, 1), 1e-2,
                         RngKey(5));
  }

  Engine engine_;
  Ctx c_;
  Checkpoint generator_, discriminator_;
  TrainPart part_;
};

TEST_F(Replaced, TheDiscriminatorDoesNotMoveTheGeneratorsEmbedding) {
  const auto values = [](Model& m) { return m.params().values().to_vector<float>(); };
  // What the generator's step alone makes of it.
  const std::vector<float> before = values(generator());
  step({}, {});
  const std::vector<float> after = values(generator());
  EXPECT_NE(after, before);
  // The discriminator's gradients go to its own table.
  const Parameter& own = *discriminator().params().find("embed.tokens");
  const Parameter& base = *discriminator().params().find("embed.tokens.base");
  EXPECT_FALSE(base.grad);
  EXPECT_EQ(base.value.bytes(), generator().params().find("embed.tokens")->value.bytes());
  double moved = 0;
  for (int64_t i = 0; i < own.value.elements(); ++i) moved += std::abs(own.value.item(i));
  EXPECT_GT(moved, 0);
  // A tape that watches the generator too finds no gradient there.
  Tape tape;
  discriminator().params().watch(tape);
  generator().params().zero_grads();
  generator().params().watch(tape);
  Ctx recording = c_;
  recording.tape = &tape;
  const Tensor logits =
      discriminator()
          .answers(recording, part_.batch, discriminator().forward(recording, part_.batch))[0]
          .second;
  tape.backward(c_, sum_all(recording, logits));
  for (float g : generator().params().grads().to_vector<float>())
    if (g != 0) FAIL() << "a gradient of the discriminator reached the generator";
}

TEST_F(Replaced, MergedIsUnmerged) {
  for (int i = 0; i < 3; ++i) step({}, {});
  const Checkpoint whole = merged(c_, discriminator_);
  EXPECT_EQ(whole.model->forward(c_, part_.batch).to_vector<float>(),
            discriminator().forward(c_, part_.batch).to_vector<float>());
  EXPECT_EQ(whole.model->params().find("embed.tokens.base"), nullptr);
}

TEST_F(Replaced, ItBeginsWithWhatChanceKnows) {
  const ReplacedResult first = step({}, {});
  EXPECT_EQ(first.generator.counted, 4);
  EXPECT_EQ(first.discriminator.counted, 10);
  EXPECT_NEAR(first.generator.loss, std::log(40), 0.3);
  EXPECT_NEAR(first.discriminator.loss, std::log(2), 0.1);
  EXPECT_GT(first.replaced, 0);
}

TEST_F(Replaced, HowTheStepIsCutChangesNoDraw) {
  const ReplacedLoss whole =
      evaluate_replaced(c_, generator(), discriminator(), part_, RngKey(5).at(3));
  EXPECT_EQ(whole.discriminator.count, 10);
  TrainPart second;
  second.batch.main.append(Ints{1, 3, 3, 7});
  second.labels = {-100, 8, 9, -100};
  TrainPart first;
  first.batch.main.append(Ints{1, 3, 9, 3, 12, 2});
  first.labels = {-100, 5, -100, 6, -100, -100};
  const std::vector<TrainPart> parts{first, second};
  Optimizer g(c_, generator().params(), {}), d(c_, discriminator().params(), {});
  const ReplacedStep both{generator(), discriminator(), g, d};
  // At a rate of 0 nothing moves.
  const ReplacedResult cut = replaced_step(c_, both, parts, 0, RngKey(5)),
                       uncut = replaced_step(c_, both, std::span(&part_, 1), 0, RngKey(5));
  EXPECT_EQ(cut.replaced, uncut.replaced);
  EXPECT_NEAR(cut.discriminator.loss, uncut.discriminator.loss, 1e-6);
  EXPECT_NEAR(cut.generator.loss, uncut.generator.loss, 1e-6);
}

// Runs of a tiny model over a text.
class TrainingRun {
 public:
  explicit TrainingRun(const char* objective) : objective_(objective) {
    std::string text;
    for (int i = 0; i < 200; ++i) text += cat("the number after ", i, " is ", i + 1, "; ");
    write_file(dir_ / "text.txt", text);
  }
  bool train(bool resume = false, int64_t stop_after = -1) {
    struct Stopper : TrainObserver {
      void progress(const Progress& p) override { stop = p.step == after; }
      std::atomic<bool> stop = false;
      int64_t after;
    } stopper;
    stopper.after = stop_after;
    const std::string recipe =
        cat("length = 24\nbatch = 4\nsteps = 30\nseed = 5\nvalidation = 0.1\n",
            "eval_every = 15\nsave_every = 30\nlog_every = 5\n",
            "tokenizer = \"bpe:300\"\nobjective = \"", objective_,
            "\"\n[model]\nwidth = 24\nlayers = 2\nheads = 2\n", "[optimizer]\nlr = 1e-2\n");
    const std::vector<std::string> where = {"data=" + (dir_ / "text.txt").string(),
                                            "out=" + out().string()};
    Team team(1);
    Pool pool;
    Ctx c{.team = &team, .pool = &pool};
    Trainer trainer(c, parse_recipe(recipe, "test.toml", where), resume);
    return trainer.run(stopper, stopper.stop);
  }
  fs::path out() const { return dir_ / "out"; }
  fs::path last() const { return checkpoint_path(out(), 30); }
  double loss(bool first) const {
    MetricsLog log(out() / "metrics.jsonl", INT64_MAX);
    return first ? log.all().front().loss : log.all().back().loss;
  }

 private:
  const char* objective_;
  TempDir dir_;
};

TEST(ReplacedRun, LeavesBothModelsAndResumesExactly) {
  TrainingRun whole("replaced"), broken("replaced");
  EXPECT_TRUE(whole.train());
  EXPECT_LT(whole.loss(false), 0.8 * whole.loss(true));
  EXPECT_FALSE(broken.train(false, 13));
  EXPECT_TRUE(broken.train(true));
  for (const char* file :
       {"generator/model.safetensors", "discriminator/model.safetensors", "embedding.safetensors",
        "optimizer.safetensors", "generator_optimizer.safetensors"})
    EXPECT_EQ(read_file(broken.last() / file), read_file(whole.last() / file)) << file;
  Team team(1);
  Pool pool;
  Ctx c{.team = &team, .pool = &pool};
  const Checkpoint generator = load_checkpoint(c, whole.last() / "generator"),
                   discriminator = load_checkpoint(c, whole.last() / "discriminator");
  EXPECT_EQ(generator.model->spec().stack().blocks.size(), 1u);
  EXPECT_EQ(discriminator.model->spec().stack().blocks.size(), 2u);
}

TEST(PermutationRun, LearnsAndResumesExactly) {
  TrainingRun whole("permutation"), broken("permutation");
  EXPECT_TRUE(whole.train());
  EXPECT_LT(whole.loss(false), 0.85 * whole.loss(true));
  EXPECT_FALSE(broken.train(false, 13));
  EXPECT_TRUE(broken.train(true));
  EXPECT_EQ(read_file(broken.last() / "model.safetensors"),
            read_file(whole.last() / "model.safetensors"));
}

}  // namespace
}  // namespace stemma
