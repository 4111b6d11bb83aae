// The parts of a Tokenizer, shared by its source files.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "text/added_tokens.h"
#include "text/decoder.h"
#include "text/model.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_file.h"

namespace stemma {

struct Tokenizer::Impl {
  std::string where;
  std::unique_ptr<Normalizer> normalizer;
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  std::unique_ptr<Model> model;
  std::unique_ptr<PostProcessor> post_processor;
  std::unique_ptr<Decoder> decoder;
  AddedTokens added;
  SpecialTokens special;
  std::optional<int> max_length;
  Truncation truncation;
  Padding padding;

  std::variant<std::string, TokenizerFile> file;  // its tokenizer.json, as read or as made
  struct SavedFile {
    std::string name, bytes;
  };
  std::vector<SavedFile> files;  // what save() writes as it was read

  // What calls leave for later ones; one call holds one.
  struct Scratch {
    PreTokens text;
    ModelScratch model;
    std::vector<ModelToken> tokens;
  };
  class ScratchLease {
   public:
    explicit ScratchLease(const Impl& impl) : impl_(impl), scratch_(impl.take_scratch()) {}
    ~ScratchLease() { impl_.give_back(std::move(scratch_)); }
    ScratchLease(const ScratchLease&) = delete;
    ScratchLease& operator=(const ScratchLease&) = delete;
    Scratch* operator->() const { return scratch_.get(); }

   private:
    const Impl& impl_;
    std::unique_ptr<Scratch> scratch_;
  };
  std::unique_ptr<Scratch> take_scratch() const;
  void give_back(std::unique_ptr<Scratch> scratch) const;
  mutable std::mutex scratch_mutex;
  mutable std::vector<std::unique_ptr<Scratch>> free_scratch;

  Impl(std::string text, std::string_view place);  // of a tokenizer.json
  Impl(TokenizerFile made, std::string_view place);
  void build(TokenizerFile parsed);
  // Roles and lengths; `names` holds the special tokens by role, as both configuration files do.
  void read_config(const Json& config);
  void read_truncation(const Json& json);
  void read_padding(const Json& json);
  void read_roles(const Json& names);
  Json config() const;

  Draft encode(std::string_view text, size_t limit, const EncodeOptions& options) const;
  // Cuts drafts to the length asked for, and post-processes what stays and what overflows.
  Encoding finish(std::vector<Draft> drafts, const EncodeOptions& options) const;
  Encoding compose(std::vector<Draft> drafts, const EncodeOptions& options) const;
  Draft::Spaces spaces(const ModelToken& token, const PreTokens& text) const;
  const std::string* token(int32_t id) const;
  // What a decoder sees of an id; nullptr where it sees nothing.
  const std::string* decoder_text(int32_t id, bool skip_special_tokens) const;
  std::string join(std::vector<std::string> tokens) const;  // decodes
};

}  // namespace stemma
