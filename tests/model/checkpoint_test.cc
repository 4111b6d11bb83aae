// Checkpoints that are not what they say: each a clear error that names both sides.
#include "model/checkpoint.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "run/engine.h"
#include "support/temp_dir.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

class CheckpointFiles : public testing::Test {
 protected:
  CheckpointFiles() : engine_(1), c_(engine_.ctx()) {
    Checkpoint fresh = empty_checkpoint(Json::parse(R"({"model_type": "llama",
      "architectures": ["LlamaForCausalLM"], "hidden_size": 8, "num_attention_heads": 2,
      "num_hidden_layers": 1, "intermediate_size": 6, "vocab_size": 11})"));
    fresh.model->params().make_flat(c_, 1, false);
    save_checkpoint(dir_.path(), fresh);
  }

  // Rewrites the weights; `change` may rename, drop, add or reshape.
  void rewrite(const std::function<void(std::vector<TensorEntry>&)>& change) {
    std::vector<TensorEntry> entries;
    std::vector<std::vector<uint8_t>> bytes;
    {
      const TensorFiles files = TensorFiles::open(dir_.path());
      bytes.reserve(files.tensors().size());
      for (const StoredTensor& t : files.tensors()) {
        bytes.emplace_back(t.bytes.begin(), t.bytes.end());
        entries.push_back(tensor_entry(t.name, t.dtype, t.shape, bytes.back()));
      }
    }
    change(entries);
    write_safetensors(dir_.path() / "model.safetensors", entries);
  }
  std::string error(Code code = Code::kFailed) {
    try {
      load_checkpoint(c_, dir_.path());
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.what();
      return e.message();
    }
    ADD_FAILURE() << "loaded";
    return {};
  }

  TempDir dir_;
  Engine engine_;
  Ctx c_;
};

TEST_F(CheckpointFiles, LoadsItself) {
  EXPECT_EQ(load_checkpoint(c_, dir_.path()).model->params().elements(),
            11 * 8 * 2 + 4 * 64 + 3 * 48 + 3 * 8);
}

TEST_F(CheckpointFiles, MissingAndUnknownTensorsAreBothNamed) {
  rewrite([](auto& entries) {
    for (TensorEntry& e : entries)
      if (e.name == "model.norm.weight") e.name = "model.nrom.weight";
  });
  const std::string message = error();
  EXPECT_NE(message.find("missing: model.norm.weight"), std::string::npos) << message;
  EXPECT_NE(message.find("not part of the model: model.nrom.weight"), std::string::npos) << message;
}

TEST_F(CheckpointFiles, ATensorOfALayerTooManyIsUnknown) {
  rewrite([](auto& entries) {
    for (const TensorEntry& e : std::vector(entries))
      if (e.name == "model.norm.weight") {
        entries.push_back(e);
        entries.back().name = "model.layers.1.input_layernorm.weight";
      }
  });
  EXPECT_NE(error().find("model.layers.1.input_layernorm.weight"), std::string::npos);
}

TEST_F(CheckpointFiles, WrongShapesAreNamed) {
  rewrite([](auto& entries) {
    for (TensorEntry& e : entries)
      if (e.name == "lm_head.weight") e.shape = {8, 11};
  });
  const std::string message = error();
  EXPECT_NE(message.find("lm_head.weight has shape [8, 11], config.json asks for [11, 8]"),
            std::string::npos)
      << message;
}

TEST_F(CheckpointFiles, BuffersAreLetBe) {
  rewrite([](auto& entries) {
    for (const TensorEntry& e : std::vector(entries))
      if (e.name == "model.norm.weight") {
        entries.push_back(e);
        entries.back().name = "model.layers.0.self_attn.rotary_emb.inv_freq";
      }
  });
  EXPECT_NO_THROW(load_checkpoint(c_, dir_.path()));
}

TEST_F(CheckpointFiles, ATruncatedFileIsAnError) {
  const std::string whole = read_file(dir_ / "model.safetensors");
  for (size_t keep : {size_t{0}, size_t{5}, size_t{100}, whole.size() - 1}) {
    std::ofstream(dir_ / "model.safetensors", std::ios::binary) << whole.substr(0, keep);
    error();
  }
}

TEST_F(CheckpointFiles, AbsentFilesAreNotFound) {
  fs::remove(dir_ / "model.safetensors");
  error(Code::kNotFound);
  fs::remove(dir_ / "config.json");
  error(Code::kNotFound);
  EXPECT_THROW(load_checkpoint(c_, dir_ / "nowhere"), Error);
}

TEST_F(CheckpointFiles, AHeadThatIsNewStartsFresh) {
  LoadOptions options;
  options.architecture = "LlamaForSequenceClassification";
  const Checkpoint loaded = load_checkpoint(c_, dir_.path(), options);
  EXPECT_EQ(loaded.fresh, std::vector<std::string>{"heads.classifier.weight"});
}

TEST_F(CheckpointFiles, SavingWhereNothingCanBeWrittenIsAnError) {
  const Checkpoint loaded = load_checkpoint(c_, dir_.path());
  EXPECT_THROW(save_checkpoint(dir_ / "nowhere", loaded), Error);
}

}  // namespace
}  // namespace stemma
