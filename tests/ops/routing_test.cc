// The choice of experts against the plain reading of its definition.
#include "ops/routing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "run/engine.h"

namespace stemma {
namespace {

using Row = std::vector<float>;

// Experts by falling score; of equal ones the first.
Ints ranked(const Row& scores) {
  Ints order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  return order;
}

Ints expected_choice(Row scores, const Row& correction, const Routing& r) {
  for (size_t e = 0; e < correction.size(); ++e) scores[e] += correction[e];
  const int size = r.experts / r.groups;
  Row goodness;
  for (int g = 0; g < r.groups; ++g) {
    Row members(scores.begin() + g * size, scores.begin() + (g + 1) * size);
    std::sort(members.rbegin(), members.rend());
    float sum = 0;
    for (int i = 0; i < std::min(r.group_best, size); ++i) sum += members[static_cast<size_t>(i)];
    goodness.push_back(sum);
  }
  Ints groups = ranked(goodness);
  groups.resize(static_cast<size_t>(r.kept_groups));
  Ints chosen;
  for (int32_t e : ranked(scores))
    if (std::count(groups.begin(), groups.end(), e / size) > 0 && std::ssize(chosen) < r.chosen)
      chosen.push_back(e);
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

TEST(Routing, ChoosesTheBestOfTheBestGroups) {
  Engine engine(2);
  Ctx c = engine.ctx();
  const Routing kinds[] = {
      {.experts = 7, .chosen = 2},
      {.experts = 12, .chosen = 4, .groups = 4, .kept_groups = 2},
      {.experts = 12, .chosen = 5, .groups = 4, .kept_groups = 3, .group_best = 1},
      {.experts = 6, .chosen = 3, .groups = 6, .kept_groups = 4},
  };
  for (const Routing& r : kinds)
    for (bool corrected : {false, true}) {
      const RngKey key = RngKey(3).at(static_cast<uint64_t>(r.experts));
      constexpr int kTokens = 300;
      Row scores, correction;
      // Coarse, so that many are equal.
      for (int i = 0; i < kTokens * r.experts; ++i)
        scores.push_back(static_cast<float>(key.below(static_cast<uint64_t>(i), 9)) / 8);
      for (int e = 0; e < r.experts && corrected; ++e)
        correction.push_back(static_cast<float>(e % 3) / 4);
      const Tensor added = corrected ? Tensor::from<float>(c, correction, {r.experts}) : Tensor();
      const Ints choice =
          choose_experts(c, Tensor::from<float>(c, scores, {kTokens, r.experts}), added, r)
              .to_vector<int32_t>();
      for (int t = 0; t < kTokens; ++t) {
        const auto row = scores.begin() + t * r.experts;
        EXPECT_EQ(Ints(choice.begin() + t * r.chosen, choice.begin() + (t + 1) * r.chosen),
                  expected_choice({row, row + r.experts}, correction, r))
            << "token " << t;
      }
    }
}

TEST(Routing, RefusesWhatDoesNotFit) {
  EXPECT_THROW(check_routing({.experts = 10, .chosen = 2, .groups = 3, .kept_groups = 1}), Error);
  EXPECT_THROW(check_routing({.experts = 12, .chosen = 7, .groups = 2, .kept_groups = 1}), Error);
  EXPECT_THROW(check_routing({.experts = 12, .chosen = 2, .groups = 2, .kept_groups = 3}), Error);
}

}  // namespace
}  // namespace stemma
