// Remembers the tokens of the words seen in one call, so that frequent words are worked out once.
// Keys are views into the text of the call, which must stay alive.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/hash.h"

namespace stemma {

struct WordToken {
  int32_t id;
  uint32_t length;  // bytes of the word
};

class WordCache {
 public:
  // The tokens of `word`, worked out by make(word, tokens) at its first appearance. The reference
  // holds until the next call.
  template <class Make>
  std::pair<const WordToken*, const WordToken*> get(std::string_view word, Make make) {
    if (used_ * 2 >= slots_.size()) grow();
    const uint64_t hash = hash_bytes(word);
    const size_t mask = slots_.size() - 1;
    size_t at = hash & mask;
    while (slots_[at].size != kEmpty && (slots_[at].hash != hash || slots_[at].word() != word))
      at = (at + 1) & mask;
    Slot& slot = slots_[at];
    if (slot.size == kEmpty) {
      ++used_;
      slot = {hash, word.data(), static_cast<uint32_t>(word.size()),
              static_cast<uint32_t>(tokens_.size()), 0};
      make(word, tokens_);
      slot.count = static_cast<uint32_t>(tokens_.size()) - slot.first;
    }
    const WordToken* first = tokens_.data() + slot.first;
    return {first, first + slot.count};
  }

 private:
  static constexpr uint32_t kEmpty = ~0u;
  struct Slot {
    uint64_t hash = 0;
    const char* data = nullptr;
    uint32_t size = kEmpty, first = 0, count = 0;
    std::string_view word() const { return {data, size}; }
  };

  void grow() {
    std::vector<Slot> old(slots_.empty() ? 64 : slots_.size() * 2);
    old.swap(slots_);
    const size_t mask = slots_.size() - 1;
    for (const Slot& slot : old) {
      if (slot.size == kEmpty) continue;
      size_t at = slot.hash & mask;
      while (slots_[at].size != kEmpty) at = (at + 1) & mask;
      slots_[at] = slot;
    }
  }

  std::vector<Slot> slots_;  // open addressing over a power of two, at most half full
  std::vector<WordToken> tokens_;
  size_t used_ = 0;
};

}  // namespace stemma
