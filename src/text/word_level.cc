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

  void encode(PreTokens& text, size_t limit, std::vector<ModelToken>& out) const override {
    text.write_image();
    for (const Piece& piece : text.pieces) {
      if (out.size() >= limit) return;
      if (piece.token >= 0) {
        out.push_back({piece.token, piece.begin, piece.end, true});
        continue;
      }
      int32_t id = vocab_.find(text.of(piece));
      if (id < 0) id = unk_;
      check(id >= 0, "[", where_, "] no token is '", text.of(piece).substr(0, 40),
            "' and the unknown token '", unk_token_, "' is not in the vocabulary");
      out.push_back({id, piece.begin, piece.end, false});
    }
  }

 private:
  std::string unk_token_, where_;
  int32_t unk_;
};

}  // namespace

std::unique_ptr<Model> make_word_level(Vocab vocab, std::string unk_token, std::string_view where) {
  return std::make_unique<WordLevel>(std::move(vocab), std::move(unk_token), where);
}

}  // namespace stemma
