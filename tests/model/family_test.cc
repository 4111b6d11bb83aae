// Families: published configurations resolve to what they mean, others are refused by name.
#include "model/family.h"

#include <gtest/gtest.h>

#include "model/fields.h"
#include "model/model.h"

namespace stemma {
namespace {

int64_t parameters(const char* config) {
  return Model(resolve(Json::parse(config)).spec).params().elements();
}

// Published sizes and the parameter counts published with them.
TEST(Family, ParameterCounts) {
  EXPECT_EQ(parameters(R"({"model_type": "llama", "vocab_size": 128256, "hidden_size": 2048,
    "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 64, "tie_word_embeddings": true})"),
            1'235'814'400);
  EXPECT_EQ(parameters(R"({"model_type": "llama", "vocab_size": 49152, "hidden_size": 576,
    "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "tie_word_embeddings": true})"),
            134'515'008);
  EXPECT_EQ(parameters(R"({"model_type": "llama", "hidden_size": 4096})"), 6'738'415'616);
  EXPECT_EQ(parameters(R"({"model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072,
    "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8,
    "tie_word_embeddings": true})"),
            596'049'920);
  EXPECT_EQ(parameters(R"({"model_type": "bert"})"), 109'482'240);
  EXPECT_EQ(parameters(R"({"model_type": "mamba", "num_hidden_layers": 24})"), 129'135'360);
  EXPECT_EQ(parameters(R"({"model_type": "mamba", "hidden_size": 2560, "num_hidden_layers": 64})"),
            2'768'345'600);
  EXPECT_EQ(parameters(R"({"model_type": "mamba2", "vocab_size": 50288, "hidden_size": 768,
    "num_hidden_layers": 24, "num_heads": 24, "n_groups": 1, "tie_word_embeddings": true})"),
            128'989'632);
  EXPECT_EQ(parameters(R"({"model_type": "mamba2"})"), 7'285'403'648);
}

std::string refusal(const char* config) {
  try {
    resolve(Json::parse(config));
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::kUnsupported) << e.what();
    return e.message();
  }
  ADD_FAILURE() << "was not refused: " << config;
  return {};
}

TEST(Family, RefusesWhatItIsNot) {
  EXPECT_NE(refusal(R"({"model_type": "perceptron"})").find("bert, "), std::string::npos);
  EXPECT_NE(refusal(R"({"model_type": "llama", "architectures": ["LlamaForTokenClassification"]})")
                .find("LlamaForTokenClassification"),
            std::string::npos);
  for (
      const char* jina :
      {R"({"model_type": "bert", "architectures": ["JinaBertModel"], "position_embedding_type": "alibi"})",
       R"({"model_type": "bert", "architectures": ["JinaBertForMaskedLM"], "feed_forward_type": "geglu"})",
       R"({"model_type": "bert", "auto_map": {"AutoModel": "jinaai/jina-bert-implementation--modeling_bert.JinaBertModel"}})"})
    EXPECT_NE(refusal(jina).find("JinaBERT"), std::string::npos) << jina;
  for (
      const char* mosaic :
      {R"({"model_type": "bert", "alibi_starting_size": 512})",
       R"({"model_type": "bert", "auto_map": {"AutoModelForMaskedLM": "bert_layers.BertForMaskedLM"}})"})
    EXPECT_NE(refusal(mosaic).find("MosaicBERT"), std::string::npos) << mosaic;
  EXPECT_NE(refusal(R"({"model_type": "bert", "position_embedding_type": "relative_key"})")
                .find("relative_key"),
            std::string::npos);
  EXPECT_NE(refusal(R"({"model_type": "llama", "rope_scaling": {"type": "dynamic", "factor": 2}})")
                .find("dynamic"),
            std::string::npos);
  EXPECT_NE(refusal(R"({"model_type": "llama", "hidden_act": "swoosh"})").find("swoosh"),
            std::string::npos);
}

TEST(Family, BadSizesAreErrors) {
  for (const char* config :
       {R"({})", R"({"model_type": "llama", "hidden_size": -3})",
        R"({"model_type": "llama", "hidden_size": 30, "num_attention_heads": 7})",
        R"({"model_type": "llama", "num_attention_heads": 32, "num_key_value_heads": 5})",
        R"({"model_type": "bert", "vocab_size": 99999999999})",
        R"({"model_type": "bert", "vocab_size": "many"})",
        R"({"model_type": "qwen3", "num_hidden_layers": 2000000})"})
    EXPECT_THROW(resolve(Json::parse(config)), Error) << config;
}

// The old and the new spelling of the rotary keys mean the same.
TEST(Family, RopeSpellings) {
  const Json old_spelling =
      to_json(resolve(Json::parse(R"({"model_type": "llama", "rope_theta": 5e5,
    "rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
    "original_max_position_embeddings": 8192}})"))
                  .spec);
  const Json new_spelling = to_json(resolve(Json::parse(R"({"model_type": "llama",
    "rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8, "low_freq_factor": 1,
    "high_freq_factor": 4, "original_max_position_embeddings": 8192}})"))
                                        .spec);
  EXPECT_EQ(old_spelling, new_spelling);
  EXPECT_NE(old_spelling, to_json(resolve(Json::parse(R"({"model_type": "llama"})")).spec));
}

TEST(Family, WindowsOfQwen3) {
  const ModelSpec spec = resolve(Json::parse(R"({"model_type": "qwen3", "num_hidden_layers": 4,
    "use_sliding_window": true, "sliding_window": 16, "max_window_layers": 3})"))
                             .spec;
  for (size_t l = 0; l < 4; ++l)
    EXPECT_EQ(std::get<Attention>(spec.decoder->blocks[l].mixer).window, l < 3 ? 0 : 16);
}

TEST(WeightRules, NamesLeadThereAndBack) {
  const Resolved bert =
      resolve(Json::parse(R"({"model_type": "bert", "architectures": ["BertForMaskedLM"]})"));
  for (const char* name : {"bert.encoder.layer.11.attention.self.query.weight",
                           "bert.embeddings.LayerNorm.bias", "cls.predictions.bias"}) {
    const auto found = find_published(bert.rules, name);
    ASSERT_TRUE(found) << name;
    EXPECT_EQ(published_of(bert.rules, found->own.front(), true)->name, name);
  }
  EXPECT_EQ(find_published(bert.rules, "encoder.layer.0.output.LayerNorm.gamma")->own.front(),
            "encoder.0.ffn.norm_after.weight");
  EXPECT_FALSE(find_published(bert.rules, "bert.encoder.layer.x.output.dense.weight"));
  EXPECT_FALSE(find_published(bert.rules, "bert.encoder.layer..output.dense.weight"));
  EXPECT_TRUE(is_ignorable(bert.rules, "bert.embeddings.position_ids"));
}

}  // namespace
}  // namespace stemma
