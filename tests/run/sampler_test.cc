#include "run/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace stemma {
namespace {

constexpr float kOut = -INFINITY;

std::vector<float> warped(std::vector<float> scores, const Sampling& s) {
  warp(scores, s);
  return scores;
}

TEST(Sampler, GreedyTakesTheFirstOfEquals) {
  std::vector<float> scores = {1, 3, 3, 2};
  EXPECT_EQ(choose(scores, {}, {}, 0), 1);
}

TEST(Sampler, RepetitionPenaltyCountsEachIdOnce) {
  std::vector<float> scores = {2, -2, 1};
  penalise_repetition(scores, {0, 1, 0, 0}, 2);
  EXPECT_EQ(scores, (std::vector<float>{1, -4, 1}));
}

TEST(Sampler, TopKKeepsTiesWithTheLast) {
  Sampling s;
  s.top_k = 2;
  EXPECT_EQ(warped({1, 5, 3, 3, 2}, s), (std::vector<float>{kOut, 5, 3, 3, kOut}));
  s.top_k = 99;
  EXPECT_EQ(warped({1, 2}, s), (std::vector<float>{1, 2}));
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesTheMass) {
  // Probabilities 0.5, 0.3, 0.2.
  const std::vector<float> scores = {std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  Sampling s;
  s.top_p = 0.7;
  EXPECT_EQ(warped(scores, s), (std::vector<float>{scores[0], scores[1], kOut}));
  s.top_p = 0.45;
  EXPECT_EQ(warped(scores, s), (std::vector<float>{scores[0], kOut, kOut}));
  s.top_p = 0;  // one always stays
  EXPECT_EQ(warped(scores, s), (std::vector<float>{scores[0], kOut, kOut}));
}

TEST(Sampler, MinPIsRelativeToTheLargest) {
  const std::vector<float> scores = {std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  Sampling s;
  s.min_p = 0.5;
  EXPECT_EQ(warped(scores, s), (std::vector<float>{scores[0], scores[1], kOut}));
}

TEST(Sampler, DrawsFollowTheProbabilitiesAndTheSeed) {
  Sampling s;
  s.sample = true;
  s.temperature = 2;  // sqrt of the odds: 9 : 1 becomes 3 : 1
  int ones = 0;
  constexpr int kDraws = 4000;
  for (int step = 0; step < kDraws; ++step) {
    std::vector<float> scores = {std::log(0.9f), std::log(0.1f)}, again = scores;
    const int32_t id = choose(scores, {}, s, step);
    EXPECT_EQ(id, choose(again, {}, s, step));
    ones += id;
  }
  EXPECT_NEAR(ones / static_cast<double>(kDraws), 0.25, 0.03);
}

}  // namespace
}  // namespace stemma
