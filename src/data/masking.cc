#include "data/masking.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace stemma {

void check_mask(const MaskSpec& spec) {
  check(spec.rate > 0 && spec.rate <= 1, "[mask] rate must be in (0, 1], it is ", spec.rate);
  check(spec.p_mask >= 0 && spec.p_random >= 0 && spec.p_mask + spec.p_random <= 1,
        "[mask] p_mask and p_random must not be negative and add up to at most 1, they are ",
        spec.p_mask, " and ", spec.p_random);
}

void mask_tokens(std::span<int32_t> ids, std::span<int32_t> labels,
                 std::span<const uint8_t> special, std::span<const uint8_t> continues,
                 int32_t mask_id, const MaskSpec& spec, const RngKey& key) {
  std::ranges::fill(labels, kNoLabel);
  // Runs of positions that are drawn together.
  struct Run {
    size_t begin, end;
  };
  std::vector<Run> runs;
  size_t maskable = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto id = static_cast<size_t>(ids[i]);
    if (special[id]) continue;
    ++maskable;
    if (spec.whole_words && continues[id] && !runs.empty() && runs.back().end == i)
      runs.back().end = i + 1;
    else
      runs.push_back({i, i + 1});
  }
  if (runs.empty()) return;
  const double wanted = std::nearbyint(static_cast<double>(ids.size()) * spec.rate);
  const size_t count = std::min(maskable, static_cast<size_t>(std::max(1.0, wanted)));
  const RngKey position = key.of("position"), kind = key.of("kind"), token = key.of("token");
  size_t drawn = 0;
  for (size_t draw = 0; draw < runs.size() && drawn < count; ++draw) {
    const Run run = runs[position.permuted(draw, runs.size())];
    // A first word that is too long is better than none.
    if (drawn > 0 && drawn + run.end - run.begin > count) continue;
    drawn += run.end - run.begin;
    for (size_t i = run.begin; i < run.end; ++i) {
      labels[i] = ids[i];
      const double u = kind.uniform(i);
      if (u < spec.p_mask)
        ids[i] = mask_id;
      else if (u < spec.p_mask + spec.p_random)
        ids[i] = static_cast<int32_t>(token.below(i, special.size()));
    }
  }
}

}  // namespace stemma
