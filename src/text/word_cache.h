// The tokens of frequent words, so that they are worked out once: a table of fixed size that
// forgets (each place has room for two words, of which the older one goes), for words of at most
// 15 bytes and 12 tokens. Exact: what is found is what was put there. Lives as long as its owner's
// vocabulary.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "text/hash.h"

namespace stemma {

struct WordToken {
  int32_t id;
  uint32_t length;  // bytes of the word; 0: the same ones as the token before
};

class WordCache {
 public:
  static constexpr size_t kMaxBytes = 15;
  static constexpr size_t kWays = 2;
  static constexpr size_t kMaxTokens = 12;

  // Two words of 8 bytes each: the text padded with zeros, its size (and a flag) in the last byte.
  struct Key {
    uint64_t low, high;
    bool operator==(const Key&) const = default;
  };
  // `readable`: bytes that may be read from word.data(), at least its size.
  // A part of a word, which may be cut otherwise than the same word, has a key of its own.
  static Key key_of(std::string_view word, size_t readable, bool part) {
    const size_t n = word.size();
    Key key{0, 0};
    if (readable >= 16) [[likely]] {
      std::memcpy(&key, word.data(), 16);
      const uint64_t keep = (uint64_t{1} << n % 8 * 8) - 1;  // of the last bytes
      key.high &= n > 8 ? keep : 0;
      key.low &= n < 8 ? keep : ~uint64_t{0};
    } else {
      std::memcpy(&key, word.data(), n);
    }
    key.high |= (uint64_t{part} << 7 | n) << 56;
    return key;
  }

  static constexpr uint32_t kNone = ~0u;

  // The tokens of a word, kNone behind the last; nullptr where it is not there.
  const uint32_t* find(const Key& key) const {
    for (const Slot& slot : places_[place(key)].slots)
      if (slot.key == key) return slot.tokens;
    return nullptr;
  }

  void put(const Key& key, const std::vector<WordToken>& tokens) {
    if (tokens.size() > kMaxTokens) return;
    Slot* slots = places_[place(key)].slots;
    std::move_backward(slots, slots + kWays - 1, slots + kWays);
    Slot& newest = slots[0];
    newest.key = key;
    for (size_t i = 0; i < kMaxTokens; ++i)
      newest.tokens[i] =
          i < tokens.size() ? static_cast<uint32_t>(tokens[i].id) | tokens[i].length << 24 : kNone;
  }

 private:
  struct Slot {
    Key key{0, 0};                // no word: the size is 0
    uint32_t tokens[kMaxTokens];  // id | length << 24
  };
  struct alignas(64) Place {
    Slot slots[kWays];  // the newest first
  };
  static constexpr size_t kMask = (size_t{1} << 14) - 1;
  static size_t place(const Key& key) {
    return hash_mix(key.low ^ 0x9E3779B97F4A7C15u, key.high ^ 0xD6E8FEB86659FD93u) & kMask;
  }

  std::vector<Place> places_ = std::vector<Place>(kMask + 1);
};

}  // namespace stemma
