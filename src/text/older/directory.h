// Model directories without a tokenizer.json: what their configuration files say, and the parts of
// the tokenizer.json that the class named there (of transformers 5) would have.
// Errors: Code::kUnsupported for a class that is not built, Code::kFailed for malformed files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/encoding.h"
#include "text/file_parts.h"
#include "text/tokenizer_file.h"
#include "text/vocab.h"

namespace stemma::older {

// The roles of special tokens, in the order in which the reference adds them.
inline constexpr std::string_view kRoles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                              "pad_token", "cls_token", "mask_token"};

// What a class assumes where the files are silent.
struct Defaults {
  std::string bos, eos, unk, sep, pad, cls, mask;  // empty: it has none
  Side padding_side = Side::right;
  // A mask that is given as a string takes the space before it.
  bool mask_takes_space = false, mask_normalized = false;
  std::string_view role(std::string_view name) const;
};

// The configuration files beside the vocabulary; absent ones are empty objects.
struct Directory {
  std::filesystem::path path;
  Json tokenizer_config = Json::object(), special_tokens_map = Json::object();

  explicit Directory(const std::filesystem::path& directory);
  bool has(const char* name) const;
  Json read(const char* name) const;
  std::string where(const char* name) const { return (path / name).string(); }
  // The token of a role: a string, or an object with content and flags; null where nobody says.
  Json role(std::string_view name, std::string_view fallback) const;
  std::string role_content(std::string_view name, const Defaults& defaults) const;
  // The class the configuration names, without the Fast of its ending; otherwise the one that goes
  // with the model_type of config.json, otherwise `fallback`.
  std::string class_name(const char* fallback) const;
};

struct OlderTokenizer {
  TokenizerFile file;
  Defaults defaults;
};

// Which tokens are cut out of texts, with the ids they will have.
class AddedList {
 public:
  explicit AddedList(const Vocab& vocab) : vocab_(vocab), next_id_(vocab.size()) {}
  // Those the configuration lists by id, then the roles.
  void add_configured(const Directory& files, const Defaults& defaults);
  // additional_special_tokens (or extra_special_tokens) of the configuration, if there are any.
  bool add_additional(const Directory& files);
  // A string, or an object with content and flags. One that is there already stays as it is.
  void add(const Json& token, bool special);
  int32_t id(std::string_view content) const;  // -1 where absent
  Json json() const;                           // sorted by id

 private:
  int32_t id_of_added(std::string_view content) const;

  const Vocab& vocab_;
  int32_t next_id_;
  std::vector<std::pair<int32_t, Json>> tokens_;
  std::vector<std::pair<std::string, int32_t>> ids_;
};

// One piece of a template: "$A", "$B" or a special token, with its type id.
struct TemplatePiece {
  std::string text;
  int type = 0;
  int32_t otherwise = -1;  // the id of a token that is not in the vocabulary; -1: an error
};
Json template_processing(const std::vector<TemplatePiece>& single,
                         const std::vector<TemplatePiece>& pair, const AddedList& added,
                         std::string_view where);
// Beginning and end of text where add_bos_token and add_eos_token ask for them.
Json bos_eos_template(const Directory& files, const Defaults& defaults, const AddedList& added);

TokenizerFile tokenizer_file(const AddedList& added, Json normalizer, Json pre_tokenizer,
                             Json post_processor, Json decoder, ModelFile&& model);

// The tokenizer of the vocabulary files there. Code::kNotFound where there are none.
OlderTokenizer read(const Directory& files);
// By file: vocab.txt; vocab.json with merges.txt; a sentencepiece model; a tiktoken file; RWKV's.
OlderTokenizer read_wordpiece(const Directory& files);
OlderTokenizer read_vocab_and_merges(const Directory& files);
OlderTokenizer read_sentencepiece(const Directory& files, const char* name);
OlderTokenizer read_tiktoken(const Directory& files, const std::string& name);
OlderTokenizer read_rwkv(const Directory& files, const std::string& name);

}  // namespace stemma::older
