// Published shapes by name, as the config.json of each: sizes only, the weights are random.
#include "base/error.h"
#include "bench/items.h"

namespace stemma::bench {
namespace {

struct Published {
  std::string_view name, config;
};

constexpr Published kShapes[] = {
    {"bert-base", R"({"model_type": "bert", "architectures": ["BertForMaskedLM"],
      "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
      "intermediate_size": 3072, "hidden_act": "gelu", "vocab_size": 30522,
      "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12})"},
    // all-MiniLM-L6-v2
    {"minilm", R"({"model_type": "bert", "architectures": ["BertModel"],
      "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
      "intermediate_size": 1536, "hidden_act": "gelu", "vocab_size": 30522,
      "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12})"},
    // Qwen2.5-0.5B's sizes, without its three biases a block
    {"qwen-0.5b", R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"],
      "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14,
      "num_key_value_heads": 2, "intermediate_size": 4864, "hidden_act": "silu",
      "vocab_size": 151936, "max_position_embeddings": 32768, "rope_theta": 1000000.0,
      "rms_norm_eps": 1e-6, "tie_word_embeddings": true})"},
    // GPT-2 small's size in Llama's wiring
    {"llama-124m", R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"],
      "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
      "intermediate_size": 2048, "hidden_act": "silu", "vocab_size": 50257,
      "max_position_embeddings": 1024, "rms_norm_eps": 1e-6, "tie_word_embeddings": true})"},
};

}  // namespace

std::optional<Json> published_shape(std::string_view name) {
  for (const Published& shape : kShapes)
    if (shape.name == name) return Json::parse(shape.config);
  return std::nullopt;
}

std::string published_shape_names() {
  std::string names;
  for (const Published& shape : kShapes) names += cat(names.empty() ? "" : ", ", shape.name);
  return names;
}

}  // namespace stemma::bench
