// Batch: sequences back to back without padding, and what one forward pass carries along.
// Letters: T tokens, S sequences.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace stemma {

using SeqId = int32_t;

// One flat run of tokens plus the offsets of its sequences.
struct Stream {
  Ints ids;        // [T]
  Ints positions;  // [T], from the start of each sequence (after its cached part)
  Ints types;      // [T], or empty: all 0
  Ints start;      // [S+1]
  // [S]: so many first tokens of a sequence all its tokens see, where attention is causal. Empty:
  // none but those after them. (Prefix language models.)
  Ints prefix = {};

  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
  int sequences() const { return static_cast<int>(start.size()) - 1; }
  // Appends a sequence whose first token has position `first`.
  void append(std::span<const int32_t> sequence, std::span<const int32_t> sequence_types = {},
              int first = 0);
  void append(std::initializer_list<int32_t> sequence, std::span<const int32_t> sequence_types = {},
              int first = 0) {
    append(std::span(sequence.begin(), sequence.size()), sequence_types, first);
  }
};

struct Batch {
  Stream main;
  // Of models with an encoder before their decoder: what the encoder reads, [S] sequences. With
  // state, the sequences that have read theirs before are empty here, and where all have, none is
  // given.
  std::optional<Stream> source = {};
  std::vector<SeqId> seqs;  // [S] with a StateStore: whose state each sequence continues
  // [S]: which of the model's adapters each sequence goes through, -1 for none. Empty: all through
  // the first, where the model has one.
  Ints adapter;
};

}  // namespace stemma
