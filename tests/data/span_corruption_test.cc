#include "data/span_corruption.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "base/error.h"

namespace stemma {
namespace {

constexpr int32_t kEnd = 1;

std::vector<int32_t> counting(int n) {
  std::vector<int32_t> ids(static_cast<size_t>(n));
  std::iota(ids.begin(), ids.end(), 100);
  return ids;
}

const std::vector<int32_t> kSentinels = {99, 98, 97, 96, 95, 94, 93, 92, 91, 90};

// What random_spans_helper() of t5/data/preprocessors.py gives.
TEST(SpanCorruption, LengthsAreThoseOfThePaper) {
  const struct {
    int64_t source;
    SpanSpec spec;
    int64_t tokens, target;
  } rows[] = {{512, {0.15, 3}, 568, 114},  {512, {0.15, 8}, 588, 100}, {512, {0.5, 3}, 766, 512},
              {512, {0.5, 8}, 908, 512},   {512, {0.15, 64}, 600, 92}, {128, {0.15, 3}, 141, 29},
              {1024, {0.15, 3}, 1137, 229}};
  for (const auto& row : rows) {
    const Lengths lengths = lengths_for(row.source, row.spec);
    EXPECT_EQ(lengths.tokens, row.tokens) << row.source;
    EXPECT_EQ(lengths.target, row.target) << row.source;
  }
  const Noise noise = noise_of(568, {});
  EXPECT_EQ(noise.tokens, 85);
  EXPECT_EQ(noise.spans, 28);
}

// Source and target together are the text: put into each other they give it back.
TEST(SpanCorruption, NothingIsLost) {
  for (int n = 2; n < 60; ++n)
    for (const SpanSpec spec : {SpanSpec{}, SpanSpec{0.5, 3}, SpanSpec{0.3, 1}}) {
      const std::vector<int32_t> text = counting(n);
      const Noise noise = noise_of(n, spec);
      std::vector<int32_t> sentinels(40);
      std::iota(sentinels.begin(), sentinels.end(), 2);
      const Corrupted pair =
          corrupt_spans(text, sentinels, kEnd, spec, RngKey(7).at(static_cast<uint64_t>(n)));
      EXPECT_EQ(static_cast<int64_t>(pair.source.size()), n - noise.tokens + noise.spans + 1);
      EXPECT_EQ(static_cast<int64_t>(pair.target.size()), noise.tokens + noise.spans + 1);
      EXPECT_EQ(pair.source.back(), kEnd);
      EXPECT_EQ(pair.target.back(), kEnd);
      EXPECT_EQ(pair.target.front(), sentinels[0]) << "the source begins with text";
      std::vector<int32_t> whole;
      size_t at = 0;  // in the target
      for (const int32_t id : pair.source) {
        if (id == kEnd) break;
        if (id >= 100) {
          whole.push_back(id);
          continue;
        }
        ASSERT_EQ(pair.target[at++], id);
        const size_t begin = at;
        for (; pair.target[at] >= 100; ++at) whole.push_back(pair.target[at]);
        EXPECT_GT(at, begin) << "an empty span";
      }
      EXPECT_EQ(whole, text) << n;
    }
}

TEST(SpanCorruption, DrawsDependOnTheKeyAlone) {
  const std::vector<int32_t> text = counting(50);
  const auto source = [&](uint64_t key) {
    return corrupt_spans(text, kSentinels, kEnd, {}, RngKey(key)).source;
  };
  EXPECT_EQ(source(3), source(3));
  EXPECT_NE(source(3), source(4));
}

// Of 4 tokens, 2 of noise in 2 spans, there is one cut; of 6 with 2 spans of 3, each of two pieces
// begins in 2 places, alike often.
TEST(SpanCorruption, AllCutsAreAlikeLikely) {
  std::map<std::vector<int32_t>, int> seen;
  constexpr int kDraws = 4000;
  for (uint64_t i = 0; i < kDraws; ++i)
    ++seen[corrupt_spans(counting(6), kSentinels, kEnd, {0.5, 1.5}, RngKey(i)).source];
  EXPECT_EQ(seen.size(), 4u);
  for (const auto& [source, times] : seen) EXPECT_NEAR(times, kDraws / 4, 150);
}

TEST(SpanCorruption, RefusesWhatCannotWork) {
  EXPECT_THROW(check_spans({0, 3}), Error);
  EXPECT_THROW(check_spans({1, 3}), Error);
  EXPECT_THROW(check_spans({0.15, 0.5}), Error);
  EXPECT_THROW(corrupt_spans(counting(1), kSentinels, kEnd, {}, RngKey(1)), Error);
  EXPECT_THROW(corrupt_spans(counting(90), kSentinels, kEnd, {0.5, 1}, RngKey(1)), Error);
}

}  // namespace
}  // namespace stemma
