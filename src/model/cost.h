// Cost: the arithmetic of a forward pass, known from the spec: 2 operations a weight and token (of
// experts, the share that a token goes through), the vocabulary's head only for the rows that meet
// it, and attention's two products for the pairs that see each other; nothing of modules for
// further tokens. A backward pass takes twice as much.
#pragma once

#include <cstdint>
#include <span>

#include "model/model.h"

namespace stemma {

// Weights of the matrix products that every token goes through, of the heads', and of those that
// every token of a source goes through instead: an encoder's before a decoder, and cross
// attention's of keys and values. A tied head counts, the embedding's look-up does not.
struct ProductWeights {
  double body = 0, head = 0, source = 0;
};
ProductWeights product_weights(const Model& model);

// Operations for sequences at the offsets `start` [S+1], of which `answered` rows meet the heads,
// and for their sources at `source_start` [S+1], where they have any.
double forward_flops(const Model& model, std::span<const int32_t> start, double answered,
                     std::span<const int32_t> source_start = {});

}  // namespace stemma
