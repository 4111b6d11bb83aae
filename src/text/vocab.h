// Vocabulary: tokens and their ids, both ways. Ids may have gaps, and two tokens may share one
// (both encode to it; the later one is its text).
// Errors: Code::kFailed for ids that are negative or beyond kMaxTokenId.
// Thread safety: a const Vocab may be read from many threads.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_scanner.h"

namespace stemma {

inline constexpr int32_t kMaxTokenId = (1 << 24) - 1;

class Vocab {
 public:
  // {"token": id, ...}, the form of tokenizer.json and vocab.json.
  static Vocab read(JsonScanner& in, std::string_view where);
  // One token a line, ids by line number; trailing whitespace is no part of a token.
  static Vocab from_lines(std::string_view text, std::string_view where);

  // A token that is there already changes its id.
  void add(std::string_view token, int64_t id, std::string_view where);
  int32_t find(std::string_view token) const;  // -1 where absent
  // The same of many: their waits for memory overlap. `ids` has the size of `tokens`.
  void find_all(std::span<const std::string_view> tokens, std::span<int32_t> ids) const;
  // The text of an id, nullptr where there is none.
  const std::string* token(int32_t id) const {
    return id >= 0 && id < end_id() && by_id_[id] >= 0 ? &entries_[by_id_[id]].token : nullptr;
  }
  int32_t end_id() const { return static_cast<int32_t>(by_id_.size()); }  // ids are below this
  int32_t size() const { return static_cast<int32_t>(entries_.size()); }  // distinct tokens

  struct Entry {
    std::string token;
    int32_t id;
  };
  const std::vector<Entry>& entries() const { return entries_; }  // in the order they were added

 private:
  struct Slot {
    uint32_t hash = 0;
    int32_t entry = -1;
  };
  size_t slot_of(std::string_view token, uint32_t hash) const;
  void grow();

  std::vector<Entry> entries_;
  std::vector<int32_t> by_id_;  // entry, -1 for a gap
  std::vector<Slot> slots_;     // open addressing over a power of two, at most half full
};

}  // namespace stemma
