// BERT (Devlin et al. 2018) from public ops alone: no spec, no layer, no model class of Stemma's.
//
//   bert_in_200_lines MODEL_DIR "A sentence." "Another one."
//
// MODEL_DIR is a published checkpoint (config.json, model.safetensors, a tokenizer). Each sentence
// becomes one vector, the mean of its last hidden states; printed are the cosines between them.
// The sentences run as one batch: their tokens stand back to back, and `start` says where each one
// begins. There is no padding. T tokens, C width, H heads, D = C / H, F inner width, V vocabulary.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "model/checkpoint.h"
#include "ops/activation.h"
#include "ops/attention/attention.h"
#include "ops/embedding.h"
#include "ops/linear.h"
#include "ops/norm.h"
#include "ops/pooling.h"
#include "ops/primitives.h"
#include "tensor/mapped.h"
#include "text/tokenizer.h"

namespace example {

using namespace stemma;
namespace fs = std::filesystem;

// ---- The checkpoint: tensors by their published names.

class Weights {
 public:
  explicit Weights(const fs::path& directory)
      : files_(std::make_shared<TensorFiles>(TensorFiles::open(directory))) {
    // BertModel's own files have bare names, those of its heads put "bert." before them.
    if (files_->find("bert.embeddings.word_embeddings.weight")) prefix_ = "bert.";
  }
  Tensor operator()(Ctx& c, const std::string& name) const {
    // f32, in place where the file has f32.
    return to_f32(c, stored_tensor(c, files_->at(prefix_ + name), files_));
  }

 private:
  std::shared_ptr<TensorFiles> files_;
  std::string prefix_;
};

struct Linear {
  Tensor w, b;  // [N,K], [N]
  Linear(Ctx& c, const Weights& weights, const std::string& name)
      : w(weights(c, name + ".weight")), b(weights(c, name + ".bias")) {}
  Tensor operator()(Ctx& c, const Tensor& x) const { return linear(c, x, w, b); }
};

struct Norm {
  Tensor w, b;  // [C]
  double eps;
  Norm(Ctx& c, const Weights& weights, const std::string& name, double eps)
      : w(weights(c, name + ".weight")), b(weights(c, name + ".bias")), eps(eps) {}
  // norm(x + delta), in one pass.
  Tensor operator()(Ctx& c, const Tensor& x, const Tensor& delta) const {
    return add_layer_norm(c, x, delta, w, b, eps).out;
  }
};

// ---- The model.

struct Config {
  int64_t layers, heads, width;
  double eps;
  Activation act;
  explicit Config(const Json& json)
      : layers(json.at("num_hidden_layers").as_int()),
        heads(json.at("num_attention_heads").as_int()),
        width(json.at("hidden_size").as_int()),
        eps(json.get("layer_norm_eps", 1e-12)),
        act(activation_from_name(json.get("hidden_act", "gelu"))) {}
};

// What runs: the tokens of all sentences, and where each sentence begins and the last one ends.
struct Batch {
  Ints ids, types, positions, start{0};
  void add(const Ints& sentence, const Ints& type_ids) {
    for (size_t i = 0; i < sentence.size(); ++i) {
      ids.push_back(sentence[i]);
      types.push_back(type_ids[i]);
      positions.push_back(static_cast<int32_t>(i));
    }
    start.push_back(static_cast<int32_t>(ids.size()));
  }
};

struct Block {
  Linear q, k, v, out, up, down;
  Norm after_attention, after_ffn;

  Block(Ctx& c, const Weights& weights, const std::string& at, double eps)
      : q(c, weights, at + "attention.self.query"),
        k(c, weights, at + "attention.self.key"),
        v(c, weights, at + "attention.self.value"),
        out(c, weights, at + "attention.output.dense"),
        up(c, weights, at + "intermediate.dense"),
        down(c, weights, at + "output.dense"),
        after_attention(c, weights, at + "attention.output.LayerNorm", eps),
        after_ffn(c, weights, at + "output.LayerNorm", eps) {}

  // x [T,C] -> [T,C]
  Tensor operator()(Ctx& c, const Config& config, const Batch& batch, const Tensor& x) const {
    const int64_t tokens = x.extent(0), size = config.width / config.heads;
    const auto by_head = [&](const Tensor& t) {
      return reshape(c, t, {tokens, config.heads, size});
    };
    // Every token sees every token of its own sentence.
    const AttentionPlan plan{.q_start = {batch.start.begin(), batch.start.end()},
                             .k_start = {batch.start.begin(), batch.start.end()}};
    const Tensor mixed = attention(c, by_head(q(c, x)), by_head(k(c, x)), by_head(v(c, x)), plan);
    // Post-norm: the norm comes after the residual addition.
    const Tensor y = after_attention(c, x, out(c, reshape(c, mixed, {tokens, config.width})));
    return after_ffn(c, y, down(c, activation(c, up(c, y), config.act)));
  }
};

class Bert {
 public:
  Bert(Ctx& c, const fs::path& directory)
      : Bert(c, Weights(directory), Config(Json::parse_file(directory / "config.json"))) {}

  // The last hidden states of all tokens, [T,C].
  Tensor operator()(Ctx& c, const Batch& batch) const {
    const auto rows = [&](const Tensor& table, const Ints& ids) {
      return embedding(c, table, Tensor::from(c, ids));
    };
    const Tensor sum = add(c, rows(words_, batch.ids), rows(types_, batch.types));
    Tensor x = norm_(c, sum, rows(positions_, batch.positions));
    for (const Block& block : blocks_) x = block(c, config_, batch, x);
    return x;
  }

 private:
  Bert(Ctx& c, const Weights& weights, const Config& config)
      : config_(config),
        words_(weights(c, "embeddings.word_embeddings.weight")),
        positions_(weights(c, "embeddings.position_embeddings.weight")),
        types_(weights(c, "embeddings.token_type_embeddings.weight")),
        norm_(c, weights, "embeddings.LayerNorm", config.eps) {
    for (int64_t l = 0; l < config.layers; ++l)
      blocks_.emplace_back(c, weights, cat("encoder.layer.", l, "."), config.eps);
  }

  Config config_;
  Tensor words_, positions_, types_;  // [V,C], [positions,C], [types,C]
  Norm norm_;
  std::vector<Block> blocks_;
};

// ---- Sentences in, cosines out.

int run(const fs::path& directory, const std::vector<std::string>& sentences) {
  Team team;
  Pool memory;
  Ctx c{.team = &team, .pool = &memory};
  const Bert bert(c, directory);
  const Tokenizer tokenizer = Tokenizer::load(directory);

  Batch batch;
  for (const std::string& sentence : sentences) {
    const Encoding tokens = tokenizer.encode(sentence);
    batch.add(tokens.ids, tokens.type_ids);
  }
  const Tensor hidden = bert(c, batch);
  const Tensor vectors = normalize(c, pool(c, hidden, batch.start, Pooling::mean));  // [S,C]
  const Tensor cosines = matmul(c, vectors, transpose(c, vectors, 0, 1));            // [S,S]
  for (size_t i = 0; i < sentences.size(); ++i) {
    for (size_t j = 0; j < sentences.size(); ++j)
      std::printf("%6.3f", cosines.item(static_cast<int64_t>(i * sentences.size() + j)));
    std::printf("   %s\n", sentences[i].c_str());
  }
  return 0;
}

}  // namespace example

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s MODEL_DIR SENTENCE...\n", argv[0]);
    return 2;
  }
  try {
    return example::run(argv[1], {argv + 2, argv + argc});
  } catch (const stemma::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
