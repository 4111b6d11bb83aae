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
                 std::span<const uint8_t> special, int32_t mask_id, const MaskSpec& spec,
                 const RngKey& key) {
  std::ranges::fill(labels, kNoLabel);
  std::vector<size_t> candidates;
  for (size_t i = 0; i < ids.size(); ++i)
    if (!special[static_cast<size_t>(ids[i])]) candidates.push_back(i);
  if (candidates.empty()) return;
  const double wanted = std::nearbyint(static_cast<double>(ids.size()) * spec.rate);
  const size_t count = std::min(candidates.size(), static_cast<size_t>(std::max(1.0, wanted)));
  const RngKey position = key.of("position"), kind = key.of("kind"), token = key.of("token");
  for (size_t draw = 0; draw < count; ++draw) {
    const size_t i = candidates[position.permuted(draw, candidates.size())];
    labels[i] = ids[i];
    const double u = kind.uniform(i);
    if (u < spec.p_mask)
      ids[i] = mask_id;
    else if (u < spec.p_mask + spec.p_random)
      ids[i] = static_cast<int32_t>(token.below(i, special.size()));
  }
}

}  // namespace stemma
