// A tokenizer.json taken apart: the tables of its model, which are nearly all of it, in flat form,
// everything else as JSON. What older files and trainers make has this form, too.
// Errors: Code::kFailed for malformed text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/vocab.h"

namespace stemma {

// Pairs of tokens that are joined, in order of rank.
class Merges {
 public:
  void add(std::string_view left, std::string_view right);
  size_t size() const { return ends_.size(); }
  std::string_view left(size_t rank) const { return view(begin(rank), ends_[rank].left); }
  std::string_view right(size_t rank) const { return view(ends_[rank].left, ends_[rank].right); }
  std::string_view both(size_t rank) const { return view(begin(rank), ends_[rank].right); }

 private:
  struct Ends {
    uint32_t left, right;  // bytes of text_
  };
  uint32_t begin(size_t rank) const { return rank == 0 ? 0 : ends_[rank - 1].right; }
  std::string_view view(uint32_t begin, uint32_t end) const {
    return std::string_view(text_).substr(begin, end - begin);
  }
  std::string text_;  // all tokens, one behind the other
  std::vector<Ends> ends_;
};

struct ScoredToken {
  std::string text;
  double score;
};

struct ModelFile {
  Json fields;                                          // "model" without these tables:
  std::optional<Vocab> vocab = {};                      // "vocab" as {token: id}
  std::optional<std::vector<ScoredToken>> scored = {};  // "vocab" as [[token, score]]
  std::optional<Merges> merges = {};                    // "merges"

  Json json() const;
};

struct TokenizerFile {
  Json parts;  // without "model"
  ModelFile model;

  static TokenizerFile parse(std::string_view text, std::string_view where);
  Json json() const;
};

}  // namespace stemma
