// Embedding: what company, order and prompts may and may not change.
#include "run/embed.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "run/engine.h"
#include "support/temp_dir.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

class Embedding : public testing::Test {
 protected:
  Embedding() : engine_(2), c_(engine_.ctx()) {
    fs::copy(fs::path(STEMMA_SOURCE_DIR) / "tests/cases/sentence_transformers/mean/model", model_,
             fs::copy_options::recursive);
  }
  std::vector<float> embed(const std::vector<std::string>& texts) {
    return Embedder::load(c_, model_).embed(c_, texts);
  }

  TempDir dir_;
  fs::path model_ = dir_ / "model";
  Engine engine_;
  Ctx c_;
};

TEST_F(Embedding, ATextsVectorIsItsOwn) {
  std::vector<std::string> texts;
  for (int i = 0; i < 300; ++i)
    texts.push_back(std::string(static_cast<size_t>(i % 23), 'a') + " the cat " +
                    std::to_string(i));
  const std::vector<float> together = embed(texts);
  const auto width = static_cast<int64_t>(together.size() / texts.size());
  for (size_t i : {size_t{0}, size_t{22}, size_t{299}}) {
    const auto begin = together.begin() + static_cast<int64_t>(i) * width;
    EXPECT_EQ(embed({texts[i]}), std::vector<float>(begin, begin + width));
  }
}

TEST_F(Embedding, NothingAndOverlongTextsAreTexts) {
  EXPECT_TRUE(embed({}).empty());
  const std::vector<float> one = embed({std::string(100000, 'x') + " y", ""});
  for (float v : one) EXPECT_TRUE(std::isfinite(v));
}

TEST_F(Embedding, TheDefaultPromptStandsBeforeEveryText) {
  const std::vector<float> written = embed({"the cat sat"}), bare = embed({"sat"});
  write_file(model_ / "config_sentence_transformers.json",
             R"({"prompts": {"query": "the cat "}, "default_prompt_name": "query"})");
  EXPECT_EQ(embed({"sat"}), written);
  Json pooling = Json::parse_file(model_ / "1_Pooling" / "config.json");
  pooling.set("include_prompt", false);
  write_file(model_ / "1_Pooling" / "config.json", pooling.dump());
  const std::vector<float> without = embed({"sat"});
  EXPECT_NE(without, written) << "rows of the prompt do not count";
  EXPECT_NE(without, bare) << "but the text has read it";
}

TEST_F(Embedding, AnUnknownModuleIsRefused) {
  Json modules = Json::parse_file(model_ / "modules.json");
  Json odd =
      Json::object({{"idx", 9}, {"name", "9"}, {"path", ""}, {"type", "x.models.WordWeights"}});
  modules.push_back(odd);
  write_file(model_ / "modules.json", modules.dump());
  try {
    embed({"x"});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::kUnsupported);
    EXPECT_NE(e.message().find("WordWeights"), std::string::npos);
  }
}

// Of a model with an encoder and a decoder the encoder is what embeds.
TEST_F(Embedding, AnEncoderIsReadWithoutItsDecoder) {
  const fs::path both = dir_ / "both";
  fs::copy(fs::path(STEMMA_SOURCE_DIR) / "tests/cases/t5/conditional/model", both,
           fs::copy_options::recursive);
  for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
    fs::copy(model_ / file, both / file);
  const Embedder embedder = Embedder::load(c_, both);
  EXPECT_FALSE(embedder.checkpoint().model->spec().decoder);
  Batch batch;
  batch.main.append({5, 9, 2, 30});
  const Checkpoint whole = load_checkpoint(c_, both);
  HiddenStates states;
  Batch pair;
  pair.main.append({0});
  pair.source.emplace().append({5, 9, 2, 30});
  whole.model->forward(c_, pair, nullptr, &states);
  const Tensor expected =
      pool(c_, states.encoder.back(), pair.source->start, Pooling::mean, Ints{0});
  EXPECT_EQ(embedder.embed_batch(c_, batch).to_vector<float>(), expected.to_vector<float>());
}

}  // namespace
}  // namespace stemma
