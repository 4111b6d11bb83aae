#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "model/adapter_files.h"
#include "support/temp_dir.h"

namespace stemma {
namespace {

Json config(std::string_view family) {
  Json config = Json::object({{"model_type", family},
                              {"vocab_size", 41},
                              {"hidden_size", 24},
                              {"num_hidden_layers", 2},
                              {"num_attention_heads", 4},
                              {"num_key_value_heads", family == "bert" ? 4 : 2},
                              {"intermediate_size", 40},
                              {"max_position_embeddings", 64}});
  config.set("architectures",
             Json::array({Json(family == "bert" ? "BertForMaskedLM" : "LlamaForCausalLM")}));
  return config;
}

// A family, and the format of the weights that are adapted.
class AdapterFiles : public testing::TestWithParam<std::tuple<std::string_view, Format>> {
 protected:
  AdapterFiles() : checkpoint_(empty_checkpoint(config(family()))) {
    model().params().make_flat(c_, 3, false);
    model().set_format(format());
  }
  std::string_view family() const { return std::get<0>(GetParam()); }
  Format format() const { return std::get<1>(GetParam()); }
  Model& model() { return *checkpoint_.model; }

  // An adapter whose B is not zero, with the model's name for what it adapts.
  std::unique_ptr<Adapter> adapter(uint64_t seed, LoraSpec spec = {.rank = 3, .alpha = 6}) {
    auto made = make_adapter(checkpoint_, spec);
    made->params().make_flat(c_, seed, false);
    const Tensor& values = made->params().values();
    for (int64_t i = 0; i < values.elements(); ++i)
      values.data<float>()[i] =
          static_cast<float>(0.2 * RngKey(seed).normal(static_cast<uint64_t>(i)));
    return made;
  }
  Batch batch(const std::vector<Ints>& sequences, const Ints& adapters = {}) {
    Batch batch;
    for (const Ints& s : sequences) batch.main.append(s);
    batch.adapter = adapters;
    return batch;
  }
  std::vector<float> run(const Batch& batch) {
    return model().forward(c_, batch).to_vector<float>();
  }

  Team team_{2};
  Pool pool_;
  Ctx c_{.team = &team_, .pool = &pool_};
  Checkpoint checkpoint_;
  const Ints first_{1, 2, 3, 4, 5}, second_{6, 7, 8};
};

TEST_P(AdapterFiles, EachSequenceGoesThroughItsOwn) {
  const std::vector<float> plain = run(batch({first_}));
  model().adapters().push_back(adapter(1));
  model().adapters().push_back(adapter(2));
  EXPECT_EQ(run(batch({first_}, {-1})), plain);
  EXPECT_EQ(run(batch({first_})), run(batch({first_}, {0}))) << "the first one, unless told";
  std::vector<float> alone;
  for (const auto& [ids, which] :
       {std::pair(first_, 1), {second_, -1}, {second_, 0}, {first_, 0}}) {
    const std::vector<float> rows = run(batch({ids}, {which}));
    alone.insert(alone.end(), rows.begin(), rows.end());
  }
  EXPECT_EQ(run(batch({first_, second_, second_, first_}, {1, -1, 0, 0})), alone) << "bitwise";
  EXPECT_THROW(run(batch({first_}, {2})), Error);
  EXPECT_THROW(run(batch({first_}, {0, 0})), Error);
}

TEST_P(AdapterFiles, SavedAndLoadedIsTheSame) {
  const TempDir dir;
  model().adapters().push_back(adapter(1, {.rank = 3, .alpha = 5, .rank_stabilised = true}));
  const std::vector<float> before = run(batch({first_}));
  save_adapter(dir.path(), checkpoint_, *model().adapters().front());
  model().adapters().clear();
  model().adapters().push_back(load_adapter(c_, checkpoint_, dir.path()));
  EXPECT_EQ(run(batch({first_})), before);
  const TempDir again;
  save_adapter(again.path(), checkpoint_, *model().adapters().front());
  for (const char* file : {"adapter_model.safetensors"})
    EXPECT_EQ(read_file(again.path() / file), read_file(dir.path() / file));
}

// One rounding more or less in each weight, of f32 (1e-5 of the norm) or of int8 (0.04: merged
// weights are quantised anew); the adapter itself makes a difference far above either.
TEST_P(AdapterFiles, MergedIsUnmerged) {
  const std::vector<float> plain = run(batch({first_, second_}));
  model().adapters().push_back(adapter(1));
  const std::vector<float> unmerged = run(batch({first_, second_}));
  merge_adapter(c_, checkpoint_, *model().adapters().front());
  model().adapters().clear();
  const std::vector<float> merged = run(batch({first_, second_}));
  const auto from_unmerged = [&](const std::vector<float>& x) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      difference += std::pow(static_cast<double>(x[i]) - unmerged[i], 2);
      norm += std::pow(static_cast<double>(unmerged[i]), 2);
    }
    return std::sqrt(difference / norm);
  };
  const double distance = from_unmerged(merged);
  RecordProperty("distance", std::to_string(distance));
  EXPECT_LE(distance, format() == Format::f32 ? 1e-5 : 0.04);
  EXPECT_GE(from_unmerged(plain), 0.5);
}

TEST_P(AdapterFiles, FreshOnesAddNothing) {
  const std::vector<float> plain = run(batch({first_}));
  auto fresh = make_adapter(checkpoint_, {.rank = 2});
  fresh->params().make_flat(c_, 1, false);
  model().adapters().push_back(std::move(fresh));
  EXPECT_EQ(run(batch({first_})), plain);
}

TEST_P(AdapterFiles, TargetsNameModules) {
  const bool bert = family() == "bert";
  const auto query = make_adapter(checkpoint_, {.rank = 2, .targets = {bert ? "query" : "q_proj"}});
  EXPECT_EQ(query->pairs().size(), 2u);
  const auto all = make_adapter(checkpoint_, {.rank = 2});
  EXPECT_EQ(all->pairs().size(), bert ? 12u : 14u);
  try {
    make_adapter(checkpoint_, {.rank = 2, .targets = {"qproj"}});
    FAIL() << "a target that names nothing went through";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::kUsage);
    EXPECT_NE(e.message().find(bert ? "query" : "q_proj"), std::string::npos) << e.message();
  }
}

TEST_P(AdapterFiles, RefusesWhatItWouldNotCompute) {
  const TempDir dir;
  const auto saved = adapter(1);
  save_adapter(dir.path(), checkpoint_, *saved);
  const std::string text = read_file(dir.path() / "adapter_config.json");
  const auto with = [&](const char* key, Json value) {
    Json config = Json::parse(text);
    config.set(key, std::move(value));
    write_file(dir.path() / "adapter_config.json", config.dump());
    try {
      load_adapter(c_, checkpoint_, dir.path());
    } catch (const Error& e) {
      return e.code();
    }
    return Code::kUsage;
  };
  EXPECT_EQ(with("use_dora", true), Code::kUnsupported);
  EXPECT_EQ(with("bias", "all"), Code::kUnsupported);
  EXPECT_EQ(with("peft_type", "IA3"), Code::kUnsupported);
  EXPECT_EQ(with("modules_to_save", Json::array({Json("classifier")})), Code::kUnsupported);
  EXPECT_EQ(with("alpha_pattern", Json::object({{"query", 3}})), Code::kUnsupported);
  EXPECT_THROW(load_adapter(c_, checkpoint_, dir.path() / "nowhere"), Error);
}

TEST_P(AdapterFiles, EveryTensorMustHaveItsPlace) {
  const TempDir dir;
  const auto saved = adapter(1);
  save_adapter(dir.path(), checkpoint_, *saved);
  Json smaller = config(family());
  smaller.set("num_hidden_layers", 1);
  Checkpoint other = empty_checkpoint(smaller);
  try {
    load_adapter(c_, other, dir.path());
    FAIL() << "tensors of a layer that is not there went unnoticed";
  } catch (const Error& e) {
    EXPECT_NE(e.message().find("lora_A"), std::string::npos) << e.message();
  }
}

INSTANTIATE_TEST_SUITE_P(Models, AdapterFiles,
                         testing::Combine(testing::Values("llama", "bert"),
                                          testing::Values(Format::f32, Format::int8)));

}  // namespace
}  // namespace stemma
