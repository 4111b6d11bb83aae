// Seams: places in a text that no token of a vocabulary reaches across, so that a word may be cut
// there before it is worked out. Long words of scripts without spaces fall into parts that come
// again and again. Found between two characters of which at least one is not ASCII; some seams may
// be passed over (the pairs that tokens hold are known by their hashes only), but each one found is
// one.
// Thread safety: a const Seams may be read from many threads.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/hash.h"

namespace stemma {

class Seams {
 public:
  // Before any question: all tokens, as strings of bytes; parts of characters may stand at their
  // ends.
  void add(std::string_view token);
  void finish();

  // The first seam of valid text behind `begin`, at most `end`.
  size_t next(std::string_view text, size_t begin, size_t end) const;

 private:
  // What a token has on both sides of a place: the whole character on the left, some first bytes of
  // the one on the right.
  static uint64_t key(uint32_t left, uint32_t right) {
    return hash_int(uint64_t{left} << 32 | right);
  }
  bool crossed(std::string_view text, size_t left, size_t right) const;

  std::vector<uint64_t> keys_;  // until finish()
  std::vector<uint64_t> bits_;  // by the low bits of a key
  // The same where a token begins within the character on the left: its last byte and the first one
  // on the right.
  std::bitset<1 << 16> halves_;
};

}  // namespace stemma
