#include "data/masking.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include "base/error.h"

namespace stemma {
namespace {

constexpr int32_t kMask = 3;
constexpr size_t kVocabulary = 100;

std::vector<uint8_t> specials() {
  std::vector<uint8_t> special(kVocabulary);
  for (size_t id = 0; id < 5; ++id) special[id] = 1;
  return special;
}

// Every third id goes on with the word before it.
std::vector<uint8_t> continues() {
  std::vector<uint8_t> rest(kVocabulary);
  for (size_t id = 0; id < kVocabulary; ++id) rest[id] = id >= 5 && id % 3 == 0;
  return rest;
}

struct Masked {
  std::vector<int32_t> before, ids, labels;
  int64_t count() const {
    return std::ranges::count_if(labels, [](int32_t label) { return label != kNoLabel; });
  }
};

// [CLS] 10 11 12 ... [SEP], n tokens in all.
Masked mask(size_t n, const RngKey& key, const MaskSpec& spec = {}) {
  Masked m;
  m.before.resize(n);
  std::iota(m.before.begin(), m.before.end(), 9);
  for (int32_t& id : m.before) id = 5 + id % 95;
  m.before.front() = 1;
  m.before.back() = 2;
  m.ids = m.before;
  m.labels.resize(n);
  mask_tokens(m.ids, m.labels, specials(), continues(), kMask, spec, key);
  return m;
}

TEST(Masking, CountIsBertsRounding) {
  // max(1, round(0.15 n)): 3 -> 0.45, 10 -> 1.5 (to even), 30 -> 4.5 (to even), 128 -> 19.2.
  const std::pair<size_t, int64_t> expected[] = {{3, 1},  {10, 2},   {13, 2},
                                                 {30, 4}, {128, 19}, {512, 77}};
  for (const auto& [n, count] : expected) EXPECT_EQ(mask(n, RngKey(1)).count(), count) << n;
  EXPECT_EQ(mask(12, RngKey(1), {.rate = 1}).count(), 10);  // specials never
}

TEST(Masking, WholeWordsAreAllOrNothing) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Masked m = mask(64, RngKey(seed), {.rate = 0.3, .whole_words = true});
    EXPECT_LE(m.count(), 19);
    EXPECT_GE(m.count(), 18);  // a word of two may not fit at the end
    for (size_t i = 2; i < m.before.size(); ++i) {
      if (!continues()[static_cast<size_t>(m.before[i])]) continue;
      EXPECT_EQ(m.labels[i] == kNoLabel, m.labels[i - 1] == kNoLabel);
    }
  }
}

TEST(Masking, LabelsAreTheOriginalsAndTheRestIsUntouched) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Masked m = mask(64, RngKey(seed));
    for (size_t i = 0; i < m.ids.size(); ++i) {
      if (m.labels[i] == kNoLabel)
        EXPECT_EQ(m.ids[i], m.before[i]);
      else
        EXPECT_EQ(m.labels[i], m.before[i]);
    }
    EXPECT_EQ(m.labels.front(), kNoLabel);
    EXPECT_EQ(m.labels.back(), kNoLabel);
  }
}

TEST(Masking, NothingToDrawGivesNoLabels) {
  EXPECT_EQ(mask(2, RngKey(1)).count(), 0);
  std::vector<int32_t> none;
  mask_tokens(none, none, specials(), continues(), kMask, {}, RngKey(1));
}

TEST(Masking, KindsHaveTheirShares) {
  int64_t drawn = 0, masked = 0, kept = 0;
  std::vector<int64_t> by_position(128);
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    const Masked m = mask(128, RngKey(seed));
    for (size_t i = 0; i < m.ids.size(); ++i) {
      if (m.labels[i] == kNoLabel) continue;
      ++drawn;
      ++by_position[i];
      masked += m.ids[i] == kMask;
      kept += m.ids[i] == m.before[i];
    }
  }
  EXPECT_EQ(drawn, 2000 * 19);
  EXPECT_NEAR(static_cast<double>(masked) / drawn, 0.8 + 0.1 / 100, 0.008);
  EXPECT_NEAR(static_cast<double>(kept) / drawn, 0.1 + 0.1 / 100, 0.006);
  for (size_t i = 1; i + 1 < by_position.size(); ++i)
    EXPECT_NEAR(by_position[i], 2000 * 19 / 126, 90);
}

TEST(Masking, ExtremesOfTheKinds) {
  const Masked all = mask(64, RngKey(2), {.rate = 1, .p_mask = 1, .p_random = 0});
  EXPECT_EQ(std::ranges::count(all.ids, kMask), 62);
  const Masked none = mask(64, RngKey(2), {.rate = 1, .p_mask = 0, .p_random = 0});
  EXPECT_EQ(none.ids, none.before);
  EXPECT_EQ(none.count(), 62);
  const Masked random = mask(64, RngKey(2), {.rate = 1, .p_mask = 0, .p_random = 1});
  EXPECT_GT(std::set<int32_t>(random.ids.begin(), random.ids.end()).size(), 30u);
  for (const int32_t id : random.ids)
    EXPECT_TRUE(id >= 0 && id < static_cast<int32_t>(kVocabulary));
}

TEST(Masking, DependsOnTheKeyAlone) {
  EXPECT_EQ(mask(64, RngKey(7)).ids, mask(64, RngKey(7)).ids);
  EXPECT_NE(mask(64, RngKey(7)).labels, mask(64, RngKey(8)).labels);
}

TEST(Masking, RefusesImpossibleSpecs) {
  for (const MaskSpec& spec :
       {MaskSpec{.rate = 0}, MaskSpec{.rate = 1.5}, MaskSpec{.p_mask = 0.8, .p_random = 0.3},
        MaskSpec{.p_mask = -0.1}, MaskSpec{.p_random = -0.1}})
    EXPECT_THROW(check_mask(spec), Error);
  check_mask({});
}

}  // namespace
}  // namespace stemma
