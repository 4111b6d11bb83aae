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

#include "text/dropout.h"
#include "text/pre_tokens.h"
#include "text/seams.h"
#include "text/tokenizer_file.h"
#include "text/vocab.h"
#include "text/word_cache.h"

namespace stemma {

struct ModelToken {
  int32_t id;
  uint32_t begin, end;  // bytes of PreTokens::text
  uint32_t piece;
};

// What a thread keeps from call to call of one model.
struct ModelScratch {
  WordCache cache;
  std::vector<WordToken> tokens;  // of the word at hand
  std::string image;              // its byte-level image
  struct Node {                   // Unigram: the best way to get to a place
    double score;
    int32_t id;
    uint32_t start;  // of its last token
  };
  std::vector<Node> nodes;
};

class Model {
 public:
  virtual ~Model() = default;
  // Append the tokens of all pieces, with their places or only their ids. They may stop after the
  // piece with which `limit` is reached.
  void encode(PreTokens& text, size_t limit, const Dropout& dropout, ModelScratch& scratch,
              std::vector<ModelToken>& out) const;
  void encode_ids(PreTokens& text, size_t limit, const Dropout& dropout, ModelScratch& scratch,
                  std::vector<int32_t>& out) const;
  const Vocab& vocab() const { return vocab_; }
  double dropout() const { return dropout_; }  // that the file asks for

 protected:
  // How a word is given to cut().
  struct WordKind {
    bool bytes;  // it stands for its byte-level image
    bool part;   // it is a part of a word, between two seams
  };
  // Puts the tokens of a word, none of whose neighbours it depends on, into scratch.tokens.
  virtual void cut(std::string_view word, WordKind kind, ModelScratch& scratch) const = 0;
  // The same with dropout; the i-th draw is key.uniform(i). Only BPE knows it.
  virtual void cut_with_dropout(std::string_view word, WordKind kind, const Dropout& dropout,
                                ModelScratch& scratch) const;

  Vocab vocab_;
  double dropout_ = 0;
  bool reads_bytes_ = false;  // cut() takes bytes that stand for their image
  // Words may be cut before each of these characters that does not follow another one: no token
  // crosses such a place. Empty: they may not.
  std::string boundary_;
  std::optional<Seams> seams_;  // where else they may be cut

 private:
  template <class Out>
  void encode_pieces(PreTokens& text, size_t limit, const Dropout& dropout, ModelScratch& scratch,
                     Out out) const;
  template <class Out>
  void encode_word(const PreTokens& text, uint32_t begin, uint32_t end, bool part,
                   ModelScratch& scratch, Out& out) const;
  uint32_t word_end(std::string_view text, uint32_t begin, uint32_t end) const;
};

// Of the "model" of a tokenizer.json, whose "type" may be absent.
std::unique_ptr<Model> parse_model(ModelFile model, std::string_view where);

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
std::unique_ptr<Model> make_unigram(const std::vector<ScoredToken>& tokens,
                                    const UnigramOptions& options, std::string_view where);

std::unique_ptr<Model> make_word_level(Vocab vocab, std::string unk_token, std::string_view where);

// Not of the reference's grammar, for vocabularies such as RWKV's.
std::unique_ptr<Model> make_longest_match(Vocab vocab, std::string_view where);

struct BpeOptions {
  double dropout = 0;
  std::optional<std::string> unk_token;
  std::string prefix, suffix;  // of continuing pieces, of the last one; as a rule empty
  bool fuse_unk = false, byte_fallback = false, ignore_merges = false;
};
std::unique_ptr<Model> make_bpe(Vocab vocab, const Merges& merges, const BpeOptions& options,
                                std::string_view where);

}  // namespace stemma
