// WordPiece: the longest token that begins the word, then the longest continuing ones. A word with
// a part that no token fits, or with more than max_chars characters, is the unknown token.
#include <algorithm>

#include "base/error.h"
#include "text/model.h"

namespace stemma {
namespace {

class WordPiece : public Model {
 public:
  WordPiece(Vocab vocab, const WordPieceOptions& options, std::string_view where)
      : options_(options), where_(where) {
    vocab_ = std::move(vocab);
    unk_ = vocab_.find(options.unk_token);
    for (int32_t id = 0; id < vocab_.end_id(); ++id) {
      const std::string* token = vocab_.token(id);
      if (token == nullptr) continue;
      longest_first_ = std::max(longest_first_, token->size());
      if (!token->starts_with(options.prefix)) continue;
      const auto rest = std::string_view(*token).substr(options.prefix.size());
      continuing_.add(rest, id, where);
      longest_continuing_ = std::max(longest_continuing_, rest.size());
    }
  }

 private:
  void cut(std::string_view word, WordKind, ModelScratch& scratch) const override {
    std::vector<WordToken>& out = scratch.tokens;
    size_t at = 0;
    if (word.size() <= static_cast<size_t>(options_.max_chars) ||
        utf8::count(word) <= static_cast<size_t>(options_.max_chars)) {
      for (size_t length; at < word.size(); at += length) {
        int32_t id = -1;
        const Vocab& vocab = at == 0 ? vocab_ : continuing_;
        length = std::min(word.size() - at, at == 0 ? longest_first_ : longest_continuing_);
        for (; length > 0; --length) {
          const bool whole =
              at + length == word.size() || !utf8::is_continuation(word[at + length]);
          if (whole && (id = vocab.find(word.substr(at, length))) >= 0) break;
        }
        if (id < 0) break;
        out.push_back({id, static_cast<uint32_t>(length)});
      }
    }
    if (at == word.size()) return;
    check(unk_ >= 0, "[", where_, "] no token fits '", word.substr(0, 40),
          "' and the unknown token '", options_.unk_token, "' is not in the vocabulary");
    out.clear();
    out.push_back({unk_, static_cast<uint32_t>(word.size())});
  }

  WordPieceOptions options_;
  std::string where_;
  Vocab continuing_;  // tokens that begin with the prefix, without it
  size_t longest_first_ = 0, longest_continuing_ = 0;
  int32_t unk_;
};

}  // namespace

std::unique_ptr<Model> make_wordpiece(Vocab vocab, const WordPieceOptions& options,
                                      std::string_view where) {
  check(options.max_chars >= 0, "[", where, "] max_input_chars_per_word is ", options.max_chars);
  return std::make_unique<WordPiece>(std::move(vocab), options, where);
}

}  // namespace stemma
