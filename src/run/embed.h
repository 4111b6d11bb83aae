// Embedding of texts, as sentence-transformers directories describe it: the base model, then
// pooling, dense layers and normalisation in the order of modules.json. A directory without
// modules.json is mean pooling over the base model, as sentence-transformers would have it. Source:
// sentence-transformers 5 (modules.json, N_Pooling, N_Dense, N_Normalize). Thread safety: embed()
// drives the engine's team; a const Embedder may be shared.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/checkpoint.h"
#include "ops/activation.h"
#include "ops/pooling.h"
#include "text/tokenizer.h"

namespace stemma {

class Embedder {
 public:
  // Heads are never loaded, nor is a decoder behind an encoder.
  static Embedder load(Ctx& c, const std::filesystem::path& directory, LoadOptions options = {});

  int width() const { return width_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const Checkpoint& checkpoint() const { return checkpoint_; }

  // One row a text, [texts, width()] f32, whatever order and company they are computed in.
  // `progress` hears of the texts done so far, from any thread, one call at a time.
  std::vector<float> embed(Ctx& c, std::span<const std::string> texts,
                           const std::function<void(size_t done)>& progress = {}) const;
  // Of token ids instead of text: the same modules.
  Tensor embed_batch(Ctx& c, const Batch& batch) const;  // [S, width()]

 private:
  struct PoolingModule {
    std::vector<Pooling> modes;      // concatenated
    int prompt_tokens_left_out = 0;  // include_prompt = false: rows of the prompt do not count
  };
  struct DenseModule {
    Tensor weight, bias;  // [N,K], [N] or undefined
    Activation act;
  };
  struct NormalizeModule {};
  using Module = std::variant<PoolingModule, DenseModule, NormalizeModule>;

  Embedder(Checkpoint checkpoint, Tokenizer tokenizer)
      : checkpoint_(std::move(checkpoint)), tokenizer_(std::move(tokenizer)) {}
  static PoolingModule load_pooling(const std::filesystem::path& directory);
  static DenseModule load_dense(Ctx& c, const std::filesystem::path& directory);
  std::string_view prepared(std::string_view text, std::string& storage) const;
  int prompt_tokens() const;

  Checkpoint checkpoint_;
  Tokenizer tokenizer_;
  std::vector<Module> modules_;
  int width_ = 0, max_length_ = 0;
  bool lowercase_ = false;
  std::string prompt_;
};

}  // namespace stemma
