// Permutation language modelling: which tokens of a sequence are predicted, and in which order.
// Targets are chosen as in XLNet (zihangdai/xlnet, data_utils.py): spans of n <= 5 tokens with
// p(n) ~ 1/n, each alone in a context of n / rate tokens at whose random place it begins, at the
// start of a word where starts are known; what spans leave of round(rate n) targets falls on single
// tokens. A random permutation of the sequence then orders the targets: one sees all tokens that
// are neither targets nor functional, and of those what comes before it. Special tokens are
// functional: never predicted, and ordered among the targets.
// Every draw is keyed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"

namespace stemma {

struct PermutationSpec {
  double rate = 1.0 / 6;  // the share of tokens that is predicted
  int longest = 5;        // tokens of a span
};

// Throws unless the rate is in (0, 1] and spans have a token.
void check_permutation(const PermutationSpec& spec);

struct Permuted {
  std::vector<int32_t> targets;  // ascending positions; none only where all tokens are special
  // [n] the place of a target or a functional token in the order, -1 for tokens that all see.
  std::vector<int32_t> order;
};
// `special` and `word_start` [n] say what the tokens are.
Permuted permute_order(std::span<const uint8_t> special, std::span<const uint8_t> word_start,
                       const PermutationSpec& spec, const RngKey& key);

// Whether position i may see position j: row i of XLNet's perm_mask, the token's own place as in
// the query stream.
bool sees(std::span<const int32_t> order, std::span<const uint8_t> is_target, int64_t i, int64_t j);

}  // namespace stemma
