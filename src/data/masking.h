// Masking: which tokens a masked language model has to restore, and what it sees in their place.
// As in BERT (google-research/bert, create_pretraining_data.py): of a sequence of n tokens, special
// ones included, max(1, round(n * rate)) positions are drawn among those that are not special, ties
// rounding to even; each becomes the mask token, a random token of the vocabulary, or stays.
// With whole words, words are drawn instead, a word being a piece and those that continue it, and
// one that would exceed the number of positions is passed over.
// Every draw is keyed, so a sequence's mask does not depend on the batch it is in.
#pragma once

#include <cstdint>
#include <span>

#include "base/rng.h"

namespace stemma {

constexpr int32_t kNoLabel = -100;  // positions that are not counted in the loss

struct MaskSpec {
  double rate = 0.15;
  double p_mask = 0.8, p_random = 0.1;  // the rest stays as it is
  bool whole_words = false;             // all pieces of a word or none
  // Epochs after which masks come again: 1 masks each sequence in one way for good (static), 0
  // never the same way twice (dynamic).
  int64_t copies = 0;
};

// Throws unless the rate is in (0, 1] and the probabilities are a distribution.
void check_mask(const MaskSpec& spec);

// Replaces tokens in `ids` and writes `labels`: the original id where one was drawn, else kNoLabel.
// `special` [vocabulary] marks ids that are never drawn, `continues` those that go on with a word.
void mask_tokens(std::span<int32_t> ids, std::span<int32_t> labels,
                 std::span<const uint8_t> special, std::span<const uint8_t> continues,
                 int32_t mask_id, const MaskSpec& spec, const RngKey& key);

}  // namespace stemma
