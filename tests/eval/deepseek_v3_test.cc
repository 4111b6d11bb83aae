// DeepSeek-V3's parts where no reference case looks: formats, adapters, balancing, files in F8.
#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "model/adapter_files.h"
#include "model/checkpoint.h"
#include "run/engine.h"
#include "support/temp_dir.h"
#include "train/step.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

fs::path model_of(const char* name) {
  return fs::path(STEMMA_SOURCE_DIR) / "tests/cases/deepseek_v3" / name / "model";
}

class Latent : public testing::Test {
 protected:
  Latent() : engine_(2), c_(engine_.ctx()) {}

  Checkpoint load(const fs::path& directory, Format format = Format::f32) {
    return load_checkpoint(c_, directory, {.format = format});
  }
  static Ints ids(int count) {
    Ints out;
    for (int i = 0; i < count; ++i) out.push_back(i * 13 % 71);
    return out;
  }
  std::vector<float> hidden(const Model& model, const Ints& sequence) {
    Batch batch;
    batch.main.append(sequence);
    return model.forward(c_, batch).to_vector<float>();
  }
  // The same through a state, in pieces.
  std::vector<float> through_state(const Model& model, const Ints& sequence, size_t piece) {
    StateStore state(state_specs(model.spec(), model.kv_dtype()));
    std::vector<float> out;
    for (size_t at = 0; at < sequence.size(); at += piece) {
      const size_t end = std::min(sequence.size(), at + piece);
      Batch batch;
      batch.main.append({sequence.begin() + static_cast<int64_t>(at),
                         sequence.begin() + static_cast<int64_t>(end)},
                        {}, static_cast<int>(at));
      batch.seqs = {0};
      const std::vector<float> rows = model.forward(c_, batch, &state).to_vector<float>();
      out.insert(out.end(), rows.begin(), rows.end());
    }
    return out;
  }
  static double distance(const std::vector<float>& a, const std::vector<float>& b) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < b.size(); ++i) {
      difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
      norm += std::pow(static_cast<double>(b[i]), 2);
    }
    return a.size() == b.size() ? std::sqrt(difference / norm) : INFINITY;
  }

  Engine engine_;
  Ctx c_;
};

TEST_F(Latent, EveryFormatKeepsItsBitsThroughTheState) {
  const Ints sequence = ids(70);  // more than a page
  for (const auto& [format, limit] : {std::pair{Format::f32, 1e-5}, std::pair{Format::bf16, 0.1},
                                      std::pair{Format::int8, 0.1}, std::pair{Format::int4, 1.0}}) {
    SCOPED_TRACE(format_name(format));
    const Checkpoint checkpoint = load(model_of("causal_plain_queries"), format);
    const Model& model = *checkpoint.model;
    const std::vector<float> whole = through_state(model, sequence, sequence.size());
    EXPECT_EQ(through_state(model, sequence, 1), whole);
    EXPECT_EQ(through_state(model, sequence, 23), whole);
    // Rounding may send a token to other experts; what is asked below f32 is that most stay.
    EXPECT_LE(distance(whole, hidden(model, sequence)), limit);
  }
}

TEST_F(Latent, TheStateKeepsLatentsAlone) {
  const Checkpoint checkpoint = load(model_of("causal"));
  for (const StateSpec& spec : state_specs(checkpoint.model->spec())) {
    const KvLayout& layout = std::get<KvSpec>(spec).layout;
    EXPECT_EQ(layout.kv_heads, 1);
    EXPECT_EQ(layout.d, 13 + 6);
    EXPECT_EQ(layout.dv, 13);
  }
}

TEST_F(Latent, AnAdapterOfTheLatentsIsRefusedWithAState) {
  for (const auto& [target, refused] :
       {std::pair{"kv_b_proj", true}, std::pair{"q_b_proj", false}}) {
    Checkpoint checkpoint = load(model_of("causal"));
    Model& model = *checkpoint.model;
    model.adapters().push_back(make_adapter(checkpoint, {.rank = 2, .targets = {target}}));
    model.adapters().front()->params().make_flat(c_, 3, false);
    hidden(model, ids(5));
    if (refused)
      EXPECT_THROW(through_state(model, ids(5), 5), Error);
    else
      EXPECT_NO_THROW(through_state(model, ids(5), 5));
  }
}

TEST_F(Latent, StepsMoveCorrectionsTowardsEqualLoads) {
  for (bool again : {false, true}) {
    Checkpoint checkpoint = load(model_of("further_tokens"));
    Model& model = *checkpoint.model;
    model.params().make_flat(c_, 0, true);
    constexpr double kRate = 0.01;
    Optimizer optimizer(c_, model.params(), {.lr = 1e-3, .expert_balance = kRate});
    TrainPart part;
    part.batch.main.append(ids(40));
    part.labels = next_labels(part.batch.main, part.batch.main.ids);
    // The loads of the first router, as its layer would count them.
    ExpertLoads loads;
    Ctx counting = c_;
    counting.loads = &loads;
    counting.rematerialise = again;
    model.forward(counting, part.batch);
    Parameter& correction = *model.params().find("decoder.1.ffn.router.correction");
    const std::vector<float> before = correction.value.to_vector<float>();
    loads.balance(kRate);
    const std::vector<float> expected = correction.value.to_vector<float>();
    EXPECT_NE(expected, before);
    for (size_t e = 0; e < before.size(); ++e) {
      correction.value.data<float>()[e] = before[e];
      const float moved = std::abs(expected[e] - before[e]);
      EXPECT_TRUE(moved == 0 || std::abs(moved - kRate) < 1e-6) << moved;
    }
    Ctx training = c_;
    training.rematerialise = again;
    train_step(training, model, {&part, 1}, optimizer, 1e-3);
    EXPECT_EQ(correction.value.to_vector<float>(), expected);
  }
}

TEST_F(Latent, F8IsSavedAsItCameUntilItIsTrained) {
  const TempDir dir;
  const fs::path same = dir.path() / "same", wide = dir.path() / "wide";
  for (const fs::path& path : {same, wide}) fs::create_directories(path);
  Checkpoint checkpoint = load(model_of("fp8"));
  const std::vector<float> expected = hidden(*checkpoint.model, ids(20));
  save_checkpoint(same, checkpoint);
  const TensorFiles before = TensorFiles::open(model_of("fp8")), after = TensorFiles::open(same);
  ASSERT_EQ(after.tensors().size(), before.tensors().size());
  for (const StoredTensor& t : before.tensors()) {
    const StoredTensor& copy = after.at(t.name);
    EXPECT_EQ(copy.dtype, t.dtype) << t.name;
    EXPECT_TRUE(std::equal(t.bytes.begin(), t.bytes.end(), copy.bytes.begin(), copy.bytes.end()))
        << t.name;
  }
  EXPECT_EQ(hidden(*load(same).model, ids(20)), expected);

  checkpoint.model->params().make_flat(c_, 0, true);
  EXPECT_EQ(hidden(*checkpoint.model, ids(20)), expected);
  save_checkpoint(wide, checkpoint);
  const TensorFiles widened = TensorFiles::open(wide);
  for (const StoredTensor& t : widened.tensors()) {
    EXPECT_EQ(t.dtype, DType::f32) << t.name;
    EXPECT_FALSE(t.name.ends_with("_scale_inv"));
  }
  EXPECT_FALSE(Json::parse_file(wide / "config.json").has("quantization_config"));
  EXPECT_EQ(hidden(*load(wide).model, ids(20)), expected);
}

TEST_F(Latent, OtherQuantisationIsRefused) {
  const TempDir dir;
  fs::copy(model_of("fp8"), dir.path(), fs::copy_options::recursive);
  Json config = Json::parse_file(dir.path() / "config.json");
  Json scheme = config.at("quantization_config");
  scheme.set("weight_block_size", Json::array({Json(8), Json(6)}));
  config.set("quantization_config", scheme);
  write_file(dir.path() / "config.json", config.dump());
  EXPECT_THROW(load(dir.path()), Error) << "the scales are of other blocks";
  scheme.set("quant_method", "gptq");
  config.set("quantization_config", scheme);
  write_file(dir.path() / "config.json", config.dump());
  EXPECT_THROW(load(dir.path()), Error);
}

}  // namespace
}  // namespace stemma
