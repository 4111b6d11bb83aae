#include "train/recipe.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace stemma {
namespace {

const std::string kLeast = "data = 'text.txt'\nout = 'out'\n";

Recipe parse(const std::string& text, std::vector<std::string> overrides = {}) {
  return parse_recipe(text, "r.toml", overrides);
}

// The message a recipe is refused with; "" where it is not.
std::string refusal(const std::string& text, std::vector<std::string> overrides = {}) {
  try {
    parse(text, overrides);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kUsage) << error.what();
    return error.message();
  }
  return "";
}

testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != text.npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "\"" << text << "\" lacks \"" << part << "\"";
}

TEST(Recipe, DefaultsForAllButDataAndOut) {
  const Recipe r = parse(kLeast);
  EXPECT_EQ(r.data, std::vector<std::string>{"text.txt"});
  EXPECT_EQ(r.objective, DataObjective::causal);
  EXPECT_TRUE(r.model.path.empty());
  const Schedule s = r.complete_schedule();
  EXPECT_EQ(s.kind, ScheduleKind::cosine);
  EXPECT_EQ(s.total, r.steps);
  EXPECT_EQ(s.warmup, 100);
  EXPECT_TRUE(contains(refusal("out = 'out'"), "data is missing"));
  EXPECT_TRUE(contains(refusal("data = 'a'"), "out is missing"));
}

TEST(Recipe, ReadsEveryKindOfValue) {
  const Recipe r = parse(R"(
model = "models/tiny"
objective = "masked"
data = ["a.txt", "more/*.jsonl"]
packing = "documents"
batch = 8
validation = 0
seed = 18446744073709551
out = "runs/one"
[optimizer]
kind = "adamw"
lr = 3e-4
betas = [0.9, 0.98]
[schedule]
kind = "wsd"
warmup = 10
total = 100
decay_start = 80
)");
  EXPECT_EQ(r.model.path, "models/tiny");
  EXPECT_EQ(r.objective, DataObjective::masked);
  EXPECT_EQ(r.data.size(), 2u);
  EXPECT_EQ(r.packing, Packing::documents);
  EXPECT_EQ(r.batch, 8);
  EXPECT_EQ(r.validation, 0);
  EXPECT_EQ(r.seed, 18446744073709551u);
  EXPECT_EQ(r.optimizer.lr, 3e-4);
  EXPECT_EQ(r.optimizer.betas[1], 0.98);
  const Schedule s = r.complete_schedule();
  EXPECT_EQ(s.kind, ScheduleKind::wsd);
  EXPECT_EQ(s.decay_start, 80);
}

TEST(Recipe, ModelBySizes) {
  const Recipe r = parse(kLeast +
                         "[model]\nfamily = 'qwen3'\nwidth = 64\nlayers = 2\ntied = false\n"
                         "[model.config]\nrope_theta = 500000.0\nhidden_act = 'silu'\n");
  EXPECT_TRUE(r.model.path.empty());
  EXPECT_EQ(r.model.sizes.family, "qwen3");
  EXPECT_EQ(r.model.sizes.width, 64);
  EXPECT_FALSE(r.model.sizes.tied);
  EXPECT_EQ(r.model.sizes.config.at("rope_theta").as_double(), 500000);
}

TEST(Recipe, OverridesReplaceWhatTheFileSays) {
  const Recipe r =
      parse(kLeast + "batch = 8\n[optimizer]\nlr = 1e-3\nmax_grad_norm = 2",
            {"batch=4", "optimizer.lr=2e-3", "data=other.txt", "out=2024", "model.width=96",
             "max_grad_norm=0.5", "tokenizer=bpe:512", "schedule.kind=linear", "data=['x', 'y']"});
  EXPECT_EQ(r.batch, 4);
  EXPECT_EQ(r.optimizer.lr, 2e-3);
  EXPECT_EQ(r.optimizer.max_grad_norm, 0.5);
  EXPECT_EQ(r.data, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(r.out, "2024");
  EXPECT_EQ(r.model.sizes.width, 96);
  EXPECT_EQ(r.tokenizer, "bpe:512");
  EXPECT_EQ(r.schedule.kind, ScheduleKind::linear);
}

TEST(Recipe, ReadsTheSpellingsOfTrainJson) {
  EXPECT_EQ(parse(kLeast + "max_grad_norm = 3").optimizer.max_grad_norm, 3);
  EXPECT_EQ(parse(kLeast + "[optimizer]\nname = 'adamw'").optimizer.kind, OptimizerKind::adamw);
  EXPECT_TRUE(contains(refusal(kLeast + "max_grad_norm = 3\n[optimizer]\nmax_grad_norm = 2"),
                       "the same key"));
}

TEST(Recipe, NamesTheNearestKey) {
  EXPECT_TRUE(contains(refusal(kLeast + "lenght = 128"), "[r.toml:3] there is no key lenght"));
  EXPECT_TRUE(contains(refusal(kLeast + "lenght = 128"), "did you mean length?"));
  EXPECT_TRUE(contains(refusal(kLeast + "lr = 1e-3"), "did you mean optimizer.lr?"));
  EXPECT_TRUE(contains(refusal(kLeast + "[optimizer]\nbeta = [0.9, 0.95]"), "optimizer.betas?"));
  EXPECT_TRUE(contains(refusal(kLeast, {"optimiser.lr=1"}), "did you mean optimizer.lr?"));
  EXPECT_FALSE(contains(refusal(kLeast + "completely_else = 1"), "did you mean"));
}

TEST(Recipe, SaysWhereAndWhatIsWrong) {
  EXPECT_TRUE(contains(refusal(kLeast + "batch = 'many'"),
                       "[r.toml:3] batch must be an integer, not a string"));
  EXPECT_TRUE(contains(refusal(kLeast, {"batch=many"}), "[command line] batch must be an integer"));
  EXPECT_TRUE(contains(refusal(kLeast + "batch = -1"), "must be between 0 and"));
  EXPECT_TRUE(contains(refusal(kLeast + "objective = 'clm'"), "one of causal, prefix, masked"));
  EXPECT_TRUE(contains(refusal(kLeast + "[optimizer]\nkind = 'sgd'"), "one of adamw"));
  EXPECT_TRUE(contains(refusal(kLeast + "[optimizer]\nlr = nan"), "finite"));
  EXPECT_TRUE(contains(refusal(kLeast + "[optimizer]\nbetas = [0.9]"), "two numbers"));
  EXPECT_TRUE(contains(refusal(kLeast + "optimizer = 3"), "must be a table"));
  EXPECT_TRUE(contains(refusal(kLeast + "batch = 2\naccumulation = 4"), "too many"));
  EXPECT_TRUE(contains(refusal(kLeast + "[schedule]\nwarmup = 5000"), "total must be more"));
  EXPECT_TRUE(contains(refusal("data = ["), "[r.toml:1"));
  EXPECT_TRUE(contains(refusal(kLeast, {"batch"}), "key=value"));
}

TEST(Recipe, TextReadsBackAsItWas) {
  const std::vector<std::string> texts = {
      kLeast,
      kLeast + "model = 'a \"quoted\" \\\\ path'\nobjective = 'masked'\n[schedule]\nwarmup = 0",
      kLeast + "seed = 7\n[model]\nwidth = 32\n[model.config]\nx = [1, 2.5, 'z', {y = true}]"};
  for (const std::string& text : texts) {
    const Recipe once = parse(text);
    const std::string written = recipe_text(once);
    const Recipe again = parse(written);
    EXPECT_EQ(recipe_text(again), written);
    EXPECT_TRUE(conflicts(once, again).empty()) << written;
    EXPECT_EQ(once.schedule.warmup, again.schedule.warmup);
  }
}

TEST(Recipe, ConflictsAreWhatDecidesTheWeights) {
  const Recipe r = parse(kLeast);
  EXPECT_TRUE(conflicts(r, parse(kLeast, {"steps=7", "out=elsewhere", "threads=2"})).empty());
  EXPECT_EQ(conflicts(r, parse(kLeast, {"seed=1", "model.width=8"})),
            (std::vector<std::string>{"model.width", "seed"}));
  EXPECT_FALSE(conflicts(r, parse(kLeast, {"model=some/path"})).empty());
}

}  // namespace
}  // namespace stemma
