// Batch: sequences back to back without padding, and what one forward pass carries along.
// Letters: T tokens, S sequences.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "ops/attention/mask.h"
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

  // Which tokens of its sequence each token sees besides itself: [S] bitmaps [n,n]. Absent: what
  // the model's attention lets it see. (Orders of prediction, of permutation language models.)
  std::optional<Bitmap> seen = {};
  // Tokens to be predicted unseen, [K] positions within their sequences, and [S+1] offsets. Each
  // has a row of its own beside those of the tokens, which begins with a learned vector in the
  // token's place, asks from its position what `seen` lets it, and is asked by nobody: the second
  // of two streams through the same blocks. The model's hidden states are then theirs alone.
  Ints targets = {}, target_start = {};
  Ints reach = {};  // [S] how many of the tokens before its own a sequence sees, with an order of
                    // its own (`seen`); empty: all
  std::vector<uint8_t> reversed = {};  // [S] 1: the text runs backwards; empty: none does

  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
  int64_t rows() const { return tokens() + static_cast<int64_t>(targets.size()); }
  int sequences() const { return static_cast<int>(start.size()) - 1; }
  // Appends a sequence whose first token has position `first`.
  void append(std::span<const int32_t> sequence, std::span<const int32_t> sequence_types = {},
              int first = 0);
  void append(std::initializer_list<int32_t> sequence, std::span<const int32_t> sequence_types = {},
              int first = 0) {
    append(std::span(sequence.begin(), sequence.size()), sequence_types, first);
  }
};

// What went into each execution of a stack for tokens before those of a batch: attention sees it in
// front of the sequence, as of segment 0. A constant, unless the tape of the forward knows it.
// Sources: Dai et al. 2019; Yang et al. 2019.
struct Memory {
  std::vector<Tensor> layers;  // [M,C] each, or none
  Ints start;                  // [S+1]
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
  Memory memory = {};
};

}  // namespace stemma
