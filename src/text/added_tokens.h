// Added tokens: strings that are cut out of the text before the model sees it, special ones among
// them. Those with normalized = false are looked for in the raw text, the others in normalised
// text, in their own normalised form.
// Thread safety: a const object may be used from many threads.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/json.h"
#include "text/normalizer.h"
#include "text/pre_tokens.h"
#include "text/vocab.h"

namespace stemma {

struct AddedToken {
  std::string content;
  bool single_word = false;             // not inside a word
  bool lstrip = false, rstrip = false;  // takes the whitespace on that side with it
  bool normalized = true;
  bool special = false;
};

AddedToken parse_added_token(const Json& json);
Json added_token_json(const AddedToken& token, int32_t id);

// A set of patterns; matches are leftmost, then longest.
class TokenTrie {
 public:
  void add(std::string_view pattern, int32_t id);
  bool empty() const { return nodes_.size() == 1; }
  // The first match at or after `from`: false if there is none.
  bool find(std::string_view text, size_t from, size_t& begin, size_t& end, int32_t& id) const;

 private:
  struct Node {
    int32_t id = -1;
    std::vector<std::pair<uint8_t, int32_t>> next;  // sorted by byte
  };
  int32_t step(int32_t node, uint8_t byte) const;  // -1: none
  std::vector<Node> nodes_{1};
  bool starts_[256] = {};
};

class AddedTokens {
 public:
  // Ids come from the model's vocabulary; tokens that it lacks get ids behind it.
  void add(const std::vector<AddedToken>& tokens, const Vocab& model, const Normalizer* normalizer,
           std::string_view where);

  // Asked for each token found, with its bytes in the raw text; null accepts all.
  using Accept = std::function<bool(int32_t id, size_t begin, size_t end)>;

  // Cuts added tokens out of `raw`, normalising what lies between. `text` must be empty; it may
  // refer to `raw` afterwards.
  void cut(std::string_view raw, const Normalizer* normalizer, const Accept& accept,
           PreTokens& text) const;

  int32_t find(std::string_view content) const;  // -1 where absent
  const AddedToken* token(int32_t id) const;     // nullptr where absent
  // What decoders see of an added token: its normalised form.
  const std::string& decoded_text(int32_t id) const { return entries_.at(id).normal; }
  bool is_special(std::string_view content) const {
    return special_.contains(std::string(content));
  }
  int32_t end_id() const { return end_id_; }  // ids are below this
  std::vector<int32_t> ids() const;           // sorted

 private:
  struct Entry {
    AddedToken token;
    std::string normal;
  };
  void cut_text(const TokenTrie& trie, std::string_view text, uint32_t base, const Accept& accept,
                std::vector<Piece>& pieces) const;

  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_map<int32_t, Entry> entries_;
  std::unordered_set<std::string> special_;
  TokenTrie raw_, normal_;
  int32_t end_id_ = 0;
};

}  // namespace stemma
