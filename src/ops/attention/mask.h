// Masks: which keys a query sees, as values. A mask is a list of parts, and a query at position p
// of its sequence sees the key at position j where every part shows it; the empty mask hides
// nothing. All parts but Bitmap show each query one interval of keys, whose ends do not fall from
// query to query.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "tensor/tensor.h"

namespace stemma {

// Keys up to the query's own: j <= p.
struct Causal {};

// Causal, but for the first lengths[s] keys of sequence s, which all its queries see (prefix
// language models, images in front of a text).
struct Prefix {
  Ints lengths;  // [S]
};

// From `left` keys before the query to `right` after it; a negative number sets no limit.
struct SlidingWindow {
  int left = -1, right = -1;
};

// The keys of the query's own chunk: j / size = p / size.
struct Chunked {
  int size = 0;
};

// For each query of a sequence one bit a key, in words of 64 keys.
class Bits {
 public:
  Bits(int64_t queries, int64_t keys)
      : queries_(queries),
        keys_(keys),
        words_((keys + 63) / 64),
        bits_(static_cast<size_t>(queries * words_)) {}
  void show(int64_t query, int64_t key) { word(query, key / 64) |= uint64_t{1} << key % 64; }
  uint64_t at(int64_t query, int64_t word) const {
    return bits_[static_cast<size_t>(query * words_ + word)];
  }
  int64_t queries() const { return queries_; }
  int64_t keys() const { return keys_; }

 private:
  uint64_t& word(int64_t query, int64_t w) {
    return bits_[static_cast<size_t>(query * words_ + w)];
  }
  int64_t queries_, keys_, words_;
  std::vector<uint64_t> bits_;
};

// Any pattern: permutations (XLNet), trees of drafted tokens, blocks. Shared, since masks are
// copied.
struct Bitmap {
  explicit Bitmap(std::vector<Bits> sequences)
      : sequences(std::make_shared<const std::vector<Bits>>(std::move(sequences))) {}
  std::shared_ptr<const std::vector<Bits>> sequences;  // [S]
};

using MaskPart = std::variant<Causal, Prefix, SlidingWindow, Chunked, Bitmap>;
using Mask = PoolVector<MaskPart>;

// The keys [first, last); none where first >= last.
struct Interval {
  int64_t first, last;
};

// What the parts other than Bitmap show the query at `position` of sequence `s`.
inline Interval seen_interval(const Mask& mask, size_t s, int64_t position, int64_t keys) {
  Interval seen{0, keys};
  const auto cut = [&](int64_t first, int64_t last) {
    seen = {std::max(seen.first, first), std::min(seen.last, last)};
  };
  for (const MaskPart& part : mask) {
    if (std::holds_alternative<Causal>(part))
      cut(0, position + 1);
    else if (const auto* prefix = std::get_if<Prefix>(&part))
      cut(0, std::max<int64_t>(position + 1, prefix->lengths[s]));
    else if (const auto* window = std::get_if<SlidingWindow>(&part))
      cut(window->left < 0 ? 0 : position - window->left,
          window->right < 0 ? keys : position + window->right + 1);
    else if (const auto* chunked = std::get_if<Chunked>(&part); chunked && position >= 0)
      cut(position / chunked->size * chunked->size, (position / chunked->size + 1) * chunked->size);
  }
  return seen;
}

// The bits of sequence `s`, or null where the mask has none.
inline const Bits* seen_bits(const Mask& mask, size_t s) {
  for (const MaskPart& part : mask)
    if (const auto* bitmap = std::get_if<Bitmap>(&part)) return &(*bitmap->sequences)[s];
  return nullptr;
}

}  // namespace stemma
