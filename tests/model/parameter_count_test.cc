// Published models have as many parameters as their configurations say: counted without weights.
#include <gtest/gtest.h>

#include "model/checkpoint.h"

namespace stemma {
namespace {

struct Published {
  const char* name;
  const char* config;
  int64_t parameters;
};

class ParameterCount : public testing::TestWithParam<Published> {};

TEST_P(ParameterCount, IsThePublishedOne) {
  const Checkpoint checkpoint = empty_checkpoint(Json::parse(GetParam().config));
  EXPECT_EQ(checkpoint.model->params().elements(), GetParam().parameters);
}

const Published kPublished[] = {
    {"bert_base", R"({"model_type": "bert"})", 109482240},
    {"bert_base_pretraining", R"({"model_type": "bert", "architectures": ["BertForPreTraining"]})",
     110106428},
    {"bert_large",
     R"({"model_type": "bert", "hidden_size": 1024, "num_hidden_layers": 24,
         "num_attention_heads": 16, "intermediate_size": 4096})",
     335141888},
    {"bert_tiny",
     R"({"model_type": "bert", "hidden_size": 128, "num_hidden_layers": 2,
         "num_attention_heads": 2, "intermediate_size": 512})",
     4385920},
    {"minilm_l6",
     R"({"model_type": "bert", "hidden_size": 384, "num_hidden_layers": 6,
         "intermediate_size": 1536})",
     22713216},
    {"bge_small",
     R"({"model_type": "bert", "hidden_size": 384, "num_hidden_layers": 12,
         "intermediate_size": 1536})",
     33360000},
    {"albert_base",
     R"({"model_type": "albert", "hidden_size": 768, "num_attention_heads": 12,
         "intermediate_size": 3072})",
     11683584},
    {"albert_large",
     R"({"model_type": "albert", "hidden_size": 1024, "num_hidden_layers": 24,
         "num_attention_heads": 16, "intermediate_size": 4096})",
     17683968},
    {"albert_xlarge",
     R"({"model_type": "albert", "hidden_size": 2048, "num_hidden_layers": 24,
         "num_attention_heads": 16, "intermediate_size": 8192})",
     58724864},
    {"albert_xxlarge", R"({"model_type": "albert"})", 222595584},
    {"modernbert_base", R"({"model_type": "modernbert"})", 149014272},
    {"modernbert_base_masked",
     R"({"model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"]})", 149655232},
    {"modernbert_large",
     R"({"model_type": "modernbert", "hidden_size": 1024, "intermediate_size": 2624,
         "num_hidden_layers": 28, "num_attention_heads": 16})",
     394781696},
    {"modernbert_large_masked",
     R"({"model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"],
         "hidden_size": 1024, "intermediate_size": 2624, "num_hidden_layers": 28,
         "num_attention_heads": 16})",
     395881664},
    {"gpt2", R"({"model_type": "gpt2"})", 124439808},
    {"gpt2_xl", R"({"model_type": "gpt2", "n_embd": 1600, "n_layer": 48, "n_head": 25})",
     1557611200},
    {"t5_small", R"({"model_type": "t5"})", 60506624},
    {"t5_v1_1_small",
     R"({"model_type": "t5", "d_ff": 1024, "num_layers": 8, "num_heads": 6,
         "feed_forward_proj": "gated-gelu", "tie_word_embeddings": false})",
     76961152},
    {"t5_small_encoder", R"({"model_type": "t5", "architectures": ["T5EncoderModel"]})", 35330816},
    {"t5_base_encoder",
     R"({"model_type": "t5", "architectures": ["T5EncoderModel"], "d_model": 768, "d_ff": 3072,
         "num_layers": 12, "num_heads": 12})",
     109628544},
    {"t5_large_encoder",
     R"({"model_type": "t5", "architectures": ["T5EncoderModel"], "d_model": 1024, "d_ff": 4096,
         "num_layers": 24, "num_heads": 16})",
     334939648},
    {"llama_7b", R"({"model_type": "llama"})", 6738415616},
    {"llama2_70b",
     R"({"model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672,
         "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8})",
     68976648192},
    {"llama3_1_8b",
     R"({"model_type": "llama", "vocab_size": 128256, "hidden_size": 4096,
         "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
         "num_key_value_heads": 8})",
     8030261248},
    {"llama3_2_1b",
     R"({"model_type": "llama", "vocab_size": 128256, "hidden_size": 2048,
         "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
         "num_key_value_heads": 8, "head_dim": 64, "tie_word_embeddings": true})",
     1235814400},
    {"smollm2_135m",
     R"({"model_type": "llama", "vocab_size": 49152, "hidden_size": 576,
         "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
         "num_key_value_heads": 3, "tie_word_embeddings": true})",
     134515008},
    {"qwen3_0_6b",
     R"({"model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072,
         "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8,
         "head_dim": 128, "tie_word_embeddings": true})",
     596049920},
    {"deepseek_v3", R"({"model_type": "deepseek_v3", "num_nextn_predict_layers": 0})",
     671026404352},
    // The files' 684,489,845,504 numbers are these, 1,853,358,080 of a second embedding and head,
    // and the corrections of 59 routers.
    {"deepseek_v3_with_further_tokens", R"({"model_type": "deepseek_v3"})", 682636472320},
    {"kimi_k2",
     R"({"model_type": "kimi_k2", "vocab_size": 163840, "num_attention_heads": 64,
         "num_key_value_heads": 64, "n_routed_experts": 384, "n_group": 1, "topk_group": 1,
         "first_k_dense_replace": 1})",
     1026408209408},
};

INSTANTIATE_TEST_SUITE_P(Models, ParameterCount, testing::ValuesIn(kPublished),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace stemma
