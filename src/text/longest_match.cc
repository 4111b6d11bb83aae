// Longest match: from left to right, always the longest token that the rest begins with. Tokens are
// strings of bytes, which the vocabulary holds as their byte-level images (byte_level.h).
#include <string>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/byte_trie.h"
#include "text/model.h"

namespace stemma {
namespace {

class LongestMatch : public Model {
 public:
  LongestMatch(Vocab vocab, std::string_view where) : where_(where), trie_(byte_strings(vocab)) {
    vocab_ = std::move(vocab);
    reads_bytes_ = true;
  }

 private:
  // Tokens that are no images are never found in a text.
  static ByteTrie byte_strings(const Vocab& vocab) {
    std::vector<std::string> bytes(vocab.end_id());
    std::vector<std::pair<std::string_view, int32_t>> entries;
    for (int32_t id = 0; id < vocab.end_id(); ++id)
      if (const std::string* token = vocab.token(id); token && byte_level_bytes(*token, bytes[id]))
        entries.emplace_back(bytes[id], id);
    return ByteTrie(std::move(entries));
  }

  void cut(std::string_view word, WordKind, ModelScratch& scratch) const override {
    for (size_t at = 0, longest; at < word.size(); at += longest) {
      int32_t id = -1;
      longest = 0;
      trie_.prefixes(word, at, [&](size_t length, int32_t found) {
        longest = length;
        id = found;
      });
      check(id >= 0, "[", where_, "] no token begins with the byte ",
            static_cast<int>(static_cast<uint8_t>(word[at])));
      scratch.tokens.push_back({id, static_cast<uint32_t>(longest)});
    }
  }

  std::string where_;
  ByteTrie trie_;
};

}  // namespace

std::unique_ptr<Model> make_longest_match(Vocab vocab, std::string_view where) {
  return std::make_unique<LongestMatch>(std::move(vocab), where);
}

}  // namespace stemma
