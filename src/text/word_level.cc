// WordLevel: each piece is a token as it stands, or the unknown one.
#include "base/error.h"
#include "text/model.h"

namespace stemma {
namespace {

class WordLevel : public Model {
 public:
  WordLevel(Vocab vocab, std::string unk_token, std::string_view where)
      : unk_token_(std::move(unk_token)), where_(where) {
    vocab_ = std::move(vocab);
    unk_ = vocab_.find(unk_token_);
  }

 private:
  void cut(std::string_view word, WordKind, ModelScratch& scratch) const override {
    int32_t id = vocab_.find(word);
    if (id < 0) id = unk_;
    check(id >= 0, "[", where_, "] no token is '", word.substr(0, 40), "' and the unknown token '",
          unk_token_, "' is not in the vocabulary");
    scratch.tokens.push_back({id, static_cast<uint32_t>(word.size())});
  }

  std::string unk_token_, where_;
  int32_t unk_;
};

}  // namespace

std::unique_ptr<Model> make_word_level(Vocab vocab, std::string unk_token, std::string_view where) {
  return std::make_unique<WordLevel>(std::move(vocab), std::move(unk_token), where);
}

}  // namespace stemma
