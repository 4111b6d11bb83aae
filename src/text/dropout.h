// BPE dropout: where probability > 0, merges are passed over at random. Draws are keyed, so that
// the same text under the same key becomes the same tokens.
#pragma once

#include "base/rng.h"

namespace stemma {

struct Dropout {
  double probability = 0;
  RngKey key{0};
};

}  // namespace stemma
