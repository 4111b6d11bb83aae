// Models of tokenizer.json: how a piece becomes tokens.
// Errors: Code::kUnsupported for a type that is not built, Code::kFailed for a malformed one.
// Thread safety: const objects may be used from many threads.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/pre_tokens.h"
#include "text/vocab.h"

namespace stemma {

struct ModelToken {
  int32_t id;
  uint32_t begin, end;  // bytes of PreTokens::text
  bool added;           // an added token: its text is the piece, not the vocabulary's
};

class Model {
 public:
  virtual ~Model() = default;
  // Appends the tokens of all pieces. May stop after the piece with which `limit` is reached.
  virtual void encode(PreTokens& text, size_t limit, std::vector<ModelToken>& out) const = 0;
  const Vocab& vocab() const { return vocab_; }

 protected:
  Vocab vocab_;
};

// Of the "model" of a tokenizer.json, whose "type" may be absent.
std::unique_ptr<Model> parse_model(const Json& json, std::string_view where);

struct WordPieceOptions {
  std::string unk_token = "[UNK]";
  std::string prefix = "##";
  int max_chars = 100;
};
std::unique_ptr<Model> make_wordpiece(Vocab vocab, const WordPieceOptions& options,
                                      std::string_view where);

struct UnigramOptions {
  std::optional<int32_t> unk_id;
  bool byte_fallback = false;
};
struct ScoredToken {
  std::string text;
  double score;
};
std::unique_ptr<Model> make_unigram(const std::vector<ScoredToken>& tokens,
                                    const UnigramOptions& options, std::string_view where);

std::unique_ptr<Model> make_word_level(Vocab vocab, std::string unk_token, std::string_view where);

struct BpeOptions {
  std::optional<std::string> unk_token;
  std::string prefix, suffix;  // of continuing pieces, of the last one; as a rule empty
  bool fuse_unk = false, byte_fallback = false, ignore_merges = false;
};
// In order of rank.
using Merges = std::vector<std::pair<std::string, std::string>>;
std::unique_ptr<Model> make_bpe(Vocab vocab, const Merges& merges, const BpeOptions& options,
                                std::string_view where);

}  // namespace stemma
