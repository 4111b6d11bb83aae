// Span corruption: what a sequence to sequence model reads and writes when it learns from plain
// text (Raffel et al. 2020). Of L tokens, n = round(density L) are noise, in round(n / mean_length)
// spans; noise and the rest are each cut at random into as many pieces, which alternate, the rest
// first. The source has a sentinel in place of each span of noise, the target one in place of each
// piece of the rest; both end with `end`, where there is one. Rounding is to even, as in
// t5/data/preprocessors.py, whose formulas these are. Every draw is keyed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/rng.h"

namespace stemma {

struct SpanSpec {
  double density = 0.15;   // the share of tokens that is noise
  double mean_length = 3;  // of a span
};

// Throws unless the density is in (0, 1) and the length 1 or more.
void check_spans(const SpanSpec& spec);

// Of a sequence of `tokens`: how much becomes noise, in how many spans.
struct Noise {
  int64_t tokens = 0, spans = 0;
};
Noise noise_of(int64_t tokens, const SpanSpec& spec);

// The most tokens of which a source of `source` tokens can be made, its end included, and the
// target that comes with it.
struct Lengths {
  int64_t tokens = 0, target = 0;
};
Lengths lengths_for(int64_t source, const SpanSpec& spec);

struct Corrupted {
  std::vector<int32_t> source, target;
};
// `tokens` are 2 or more; the i-th span stands for sentinels[i].
Corrupted corrupt_spans(std::span<const int32_t> tokens, std::span<const int32_t> sentinels,
                        std::optional<int32_t> end, const SpanSpec& spec, const RngKey& key);

}  // namespace stemma
