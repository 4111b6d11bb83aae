// Orders of permutation language modelling.
#include "data/permutation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace stemma {
namespace {

// The example of the original: six tokens, two of them functional, two to be predicted.
TEST(Permutation, TheMaskIsXlnets) {
  const std::vector<int32_t> order{-1, 0, -1, 1, 4, 2};
  const std::vector<uint8_t> is_target{0, 1, 0, 1, 0, 0};
  const char* hidden[] = {"010111", "010111", "010111", "000111", "000000", "000010"};
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 6; ++j)
      EXPECT_EQ(sees(order, is_target, i, j), hidden[i][j] == '0') << i << " " << j;
}

TEST(Permutation, TargetsAreAShareOfTheTokensAndNeverSpecial) {
  std::vector<uint8_t> special(60, 0), start(60, 1);
  special[58] = special[59] = 1;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const Permuted p = permute_order(special, start, {}, RngKey(seed));
    EXPECT_EQ(p.targets.size(), 10u);
    EXPECT_TRUE(std::ranges::is_sorted(p.targets));
    std::vector<int32_t> places;
    for (size_t i = 0; i < special.size(); ++i) {
      const bool target = std::ranges::count(p.targets, static_cast<int32_t>(i)) > 0;
      EXPECT_FALSE(target && special[i]);
      EXPECT_EQ(p.order[i] >= 0, target || special[i]);
      if (p.order[i] >= 0) places.push_back(p.order[i]);
    }
    std::ranges::sort(places);
    EXPECT_EQ(std::ranges::adjacent_find(places), places.end());
  }
}

TEST(Permutation, SpansBeginWithWords) {
  // Every third token begins a word: with a quota that spans alone can fill, so does each span.
  std::vector<uint8_t> special(300, 0), start(300, 0);
  for (size_t i = 0; i < start.size(); i += 3) start[i] = 1;
  int begun = 0, at_start = 0;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const Permuted p = permute_order(special, start, {.rate = 0.05, .longest = 3}, RngKey(seed));
    for (size_t i = 0; i < p.targets.size(); ++i)
      if (i == 0 || p.targets[i] != p.targets[i - 1] + 1) {
        ++begun;
        at_start += start[static_cast<size_t>(p.targets[i])];
      }
  }
  EXPECT_GT(at_start, begun * 3 / 4);
}

TEST(Permutation, ASequenceOfSpecialTokensHasNoTarget) {
  const std::vector<uint8_t> special(4, 1), start(4, 1);
  EXPECT_TRUE(permute_order(special, start, {}, RngKey(1)).targets.empty());
}

}  // namespace
}  // namespace stemma
