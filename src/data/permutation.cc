#include "data/permutation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace stemma {
namespace {

// n with probability proportional to 1/n, from 1 to `most`.
int64_t span_length(double u, int most) {
  double total = 0;
  for (int n = 1; n <= most; ++n) total += 1.0 / n;
  for (int n = 1; n < most; ++n)
    if ((u -= 1.0 / n / total) < 0) return n;
  return most;
}

}  // namespace

void check_permutation(const PermutationSpec& spec) {
  check(spec.rate > 0 && spec.rate <= 1, "[permutation] the rate must be in (0, 1], it is ",
        spec.rate);
  check(spec.longest >= 1, "[permutation] spans must have at least one token, the longest has ",
        spec.longest);
}

Permuted permute_order(std::span<const uint8_t> special, std::span<const uint8_t> word_start,
                       const PermutationSpec& spec, const RngKey& key) {
  const auto n = static_cast<int64_t>(special.size());
  const auto at = [](int64_t i) { return static_cast<size_t>(i); };
  std::vector<int64_t> candidates;
  for (int64_t i = 0; i < n; ++i)
    if (!special[at(i)]) candidates.push_back(i);
  Permuted out;
  out.order.assign(special.size(), -1);
  if (candidates.empty()) return out;
  const auto possible = static_cast<int64_t>(candidates.size());
  const int64_t quota = std::clamp<int64_t>(
      static_cast<int64_t>(std::nearbyint(static_cast<double>(n) * spec.rate)), 1, possible);

  std::vector<uint8_t> chosen(special.size());
  int64_t count = 0;
  const auto choose = [&](int64_t i) {
    if (special[at(i)] || chosen[at(i)]) return;
    chosen[at(i)] = 1, ++count;
  };
  const RngKey length = key.of("length"), place = key.of("place");
  uint64_t draw = 0;
  for (int64_t cursor = 0; cursor < n && count < quota; ++draw) {
    const int64_t span = std::min(span_length(length.uniform(draw), spec.longest), quota - count);
    const auto context = static_cast<int64_t>(static_cast<double>(span) / spec.rate);
    const auto left = static_cast<int64_t>(
        place.below(draw, static_cast<uint64_t>(std::max<int64_t>(1, context))));
    int64_t begin = cursor + left;
    while (begin < n && !word_start[at(begin)]) ++begin;
    for (int64_t i = begin; i < std::min(n, begin + span); ++i) choose(i);
    cursor = std::max(cursor + 1, begin + span + context - left);
  }
  const RngKey rest = key.of("rest");
  for (uint64_t i = 0; count < quota; ++i)
    choose(candidates[rest.permuted(i, static_cast<uint64_t>(possible))]);

  const RngKey order = key.of("order");
  for (int64_t i = 0; i < n; ++i) {
    if (chosen[at(i)]) out.targets.push_back(static_cast<int32_t>(i));
    if (chosen[at(i)] || special[at(i)])
      out.order[at(i)] =
          static_cast<int32_t>(order.permuted(static_cast<uint64_t>(i), static_cast<uint64_t>(n)));
  }
  return out;
}

bool sees(std::span<const int32_t> order, std::span<const uint8_t> is_target, int64_t i,
          int64_t j) {
  const auto a = static_cast<size_t>(i), b = static_cast<size_t>(j);
  if (order[b] < 0) return true;
  // A target does not see its own place; others stand just behind what they are.
  const int32_t own = is_target[a] ? order[a] : order[a] + 1;
  return own > order[b];
}

}  // namespace stemma
