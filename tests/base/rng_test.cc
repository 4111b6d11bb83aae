#include "base/rng.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace stemma {
namespace {

// SplitMix64 from state 0: the published first outputs (state advances by the golden gamma).
TEST(Rng, MixerIsSplitMix64) {
  EXPECT_EQ(mix64(0), 0xe220a8397b1dcdafull);
  EXPECT_EQ(mix64(0x9e3779b97f4a7c15ull), 0x6e789e6aa1b965f4ull);
  EXPECT_EQ(mix64(2 * 0x9e3779b97f4a7c15ull), 0x06c45d188009454full);
}

// Streams are part of the checkpoint contract: a change breaks the resume of every saved run.
TEST(Rng, GoldenValues) {
  const RngKey key = RngKey(42).of("mask").at(3).at(1);
  EXPECT_EQ(key.bits(0), 0x1bc52ec3c11f15a1ull);
  EXPECT_EQ(key.bits(1), 0x421658b132ac7341ull);
  EXPECT_EQ(key.below(5, 1000), 921u);
  EXPECT_EQ(key.uniform(2), 0.2971336907881488);
  EXPECT_EQ(key.permuted(0, 1000), 539u);
  EXPECT_EQ(key.permuted(999, 1000), 917u);
}

TEST(Rng, KeysDoNotCollide) {
  std::set<uint64_t> seen;
  size_t count = 0;
  const auto add = [&](const RngKey& key) {
    seen.insert(key.bits(0));
    ++count;
  };
  for (uint64_t seed = 0; seed < 10; ++seed) {
    add(RngKey(seed));
    for (const char* purpose : {"mask", "order", "a", "ab", "ba", ""}) {
      if (*purpose) add(RngKey(seed).of(purpose));
      for (uint64_t i = 0; i < 10; ++i) {
        add(RngKey(seed).of(purpose).at(i));
        for (uint64_t j = 0; j < 10; ++j) add(RngKey(seed).of(purpose).at(i).at(j));
      }
    }
  }
  EXPECT_EQ(seen.size(), count);
}

TEST(Rng, PermutedIsAPermutation) {
  for (const uint64_t n : {1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 1000}) {
    for (uint64_t seed = 0; seed < 5; ++seed) {
      std::vector<bool> hit(n);
      for (uint64_t i = 0; i < n; ++i) {
        const uint64_t p = RngKey(seed).permuted(i, n);
        ASSERT_LT(p, n);
        EXPECT_FALSE(hit[p]) << n << " " << seed;
        hit[p] = true;
      }
    }
  }
}

// Each position of a permutation of 8 takes each value about equally often over seeds.
TEST(Rng, PermutedIsBalanced) {
  constexpr uint64_t n = 8, seeds = 8000;
  int counts[n][n] = {};
  for (uint64_t seed = 0; seed < seeds; ++seed)
    for (uint64_t i = 0; i < n; ++i) ++counts[i][RngKey(seed).permuted(i, n)];
  for (const auto& row : counts)
    for (const int count : row) EXPECT_NEAR(count, 1000, 200);  // standard deviation 30
}

TEST(Rng, UniformBelowAndNormalHaveTheirMoments) {
  const RngKey key(5);
  constexpr int n = 100000;
  double uniform = 0, normal = 0, square = 0;
  std::vector<int> counts(7);
  for (uint64_t i = 0; i < n; ++i) {
    const double u = key.uniform(i), g = key.of("normal").normal(i);
    ASSERT_TRUE(u >= 0 && u < 1);
    uniform += u;
    normal += g;
    square += g * g;
    ++counts[key.below(i, 7)];
  }
  EXPECT_NEAR(uniform / n, 0.5, 0.004);
  EXPECT_NEAR(normal / n, 0.0, 0.015);
  EXPECT_NEAR(square / n, 1.0, 0.02);
  for (const int count : counts) EXPECT_NEAR(count, n / 7, 500);
}

}  // namespace
}  // namespace stemma
