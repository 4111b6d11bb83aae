#include "data/span_corruption.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace stemma {
namespace {

int64_t rounded(double x) { return static_cast<int64_t>(std::nearbyint(x)); }

// `tokens` cut into `count` pieces of 1 or more, all such cuts being equally likely.
std::vector<int64_t> pieces(int64_t tokens, int64_t count, const RngKey& key) {
  std::vector<int64_t> cuts = {0};
  for (int64_t i = 0; i + 1 < count; ++i)
    cuts.push_back(1 + static_cast<int64_t>(key.permuted(static_cast<uint64_t>(i),
                                                         static_cast<uint64_t>(tokens - 1))));
  std::ranges::sort(cuts);
  cuts.push_back(tokens);
  std::vector<int64_t> lengths;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) lengths.push_back(cuts[i + 1] - cuts[i]);
  return lengths;
}

}  // namespace

void check_spans(const SpanSpec& spec) {
  check(spec.density > 0 && spec.density < 1, "[spans] density must be in (0, 1), it is ",
        spec.density);
  check(spec.mean_length >= 1, "[spans] the mean length must be 1 or more, it is ",
        spec.mean_length);
}

Noise noise_of(int64_t tokens, const SpanSpec& spec) {
  Noise noise;
  noise.tokens = std::clamp<int64_t>(rounded(static_cast<double>(tokens) * spec.density), 1,
                                     std::max<int64_t>(1, tokens - 1));
  noise.spans = std::max<int64_t>(1, rounded(static_cast<double>(noise.tokens) / spec.mean_length));
  noise.spans = std::min(noise.spans, std::max<int64_t>(1, tokens - noise.tokens));
  return noise;
}

Lengths lengths_for(int64_t source, const SpanSpec& spec) {
  constexpr int64_t kEnd = 1;
  const auto source_of = [&](int64_t tokens) {
    const Noise noise = noise_of(tokens, spec);
    return tokens - noise.tokens + noise.spans + kEnd;
  };
  Lengths lengths;
  lengths.tokens = std::max<int64_t>(2, source - 1);
  while (source_of(lengths.tokens + 1) <= source) ++lengths.tokens;
  const auto target = [&] {
    const Noise noise = noise_of(lengths.tokens, spec);
    return noise.tokens + noise.spans + kEnd;
  };
  lengths.target = target();
  // Half noise: a token less makes both sides equally long.
  if (spec.density == 0.5 && lengths.target > source) {
    --lengths.tokens;
    lengths.target = target();
  }
  return lengths;
}

Corrupted corrupt_spans(std::span<const int32_t> tokens, std::span<const int32_t> sentinels,
                        std::optional<int32_t> end, const SpanSpec& spec, const RngKey& key) {
  const auto count = static_cast<int64_t>(tokens.size());
  check(count >= 2, "[spans] a sequence of ", count, " tokens cannot be corrupted");
  const Noise noise = noise_of(count, spec);
  check(noise.spans <= static_cast<int64_t>(sentinels.size()), "[spans] ", noise.spans,
        " spans and only ", sentinels.size(), " sentinels");
  const std::vector<int64_t> masked = pieces(noise.tokens, noise.spans, key.of("noise")),
                             kept = pieces(count - noise.tokens, noise.spans, key.of("rest"));
  Corrupted out;
  auto at = tokens.begin();
  const auto move = [&](int64_t n, std::vector<int32_t>& to) {
    to.insert(to.end(), at, at + n);
    at += n;
  };
  for (size_t i = 0; i < masked.size(); ++i) {
    move(kept[i], out.source);
    out.source.push_back(sentinels[i]);
    out.target.push_back(sentinels[i]);
    move(masked[i], out.target);
  }
  if (end) out.source.push_back(*end), out.target.push_back(*end);
  return out;
}

}  // namespace stemma
