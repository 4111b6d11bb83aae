// Truncation into windows, padding, word ids, and BPE dropout.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "text/golden.h"
#include "text/small_tokenizers.h"
#include "text/tokenizer.h"

namespace stemma {
namespace {

using Ints = std::vector<int32_t>;
using Strategy = Truncation::Strategy;

void expect_everything(const Encoding& got, const Json& want) {
  EXPECT_EQ(got.ids, ints(want.at(size_t{0})));
  EXPECT_EQ(flat(got.offsets), ints(want.at(1)));
  EXPECT_EQ(got.type_ids, ints(want.at(2)));
  EXPECT_EQ(Ints(got.special.begin(), got.special.end()), ints(want.at(3)));
  EXPECT_EQ(got.word_ids, ints(want.at(4)));
}

// The tokenizers of lengths.json, with their entries.
template <class F>
void each_length_entry(F f) {
  const Json file = golden("lengths.json");
  SmallTokenizers().each([&](const Json& small, const Tokenizer& tokenizer) {
    for (size_t i = 1; i < file.size(); ++i)
      if (file.at(i).at("name") == small.at("name")) f(file, file.at(i), tokenizer);
  });
}

TEST(Lengths, TruncationInAllItsWays) {
  int compared = 0;
  each_length_entry([&](const Json& file, const Json& entry, const Tokenizer& tokenizer) {
    const Json& texts = file.at(size_t{0}).at("texts");
    const std::string first = texts.at(size_t{0}).as_string(), second = texts.at(1).as_string();
    size_t at = 0;
    for (const bool pair : {false, true})
      for (const auto strategy :
           {Strategy::longest_first, Strategy::only_first, Strategy::only_second})
        for (const Side side : {Side::left, Side::right})
          for (const auto& [length, stride] : {std::pair(8, 0), {13, 2}, {24, 1}})
            for (const bool special : {true, false}) {
              const Json& want = entry.at("truncated").at(at++);
              SCOPED_TRACE(cat(pair, static_cast<int>(strategy), static_cast<int>(side), " ",
                               length, " ", special));
              EncodeOptions options;
              options.special_tokens = special;
              options.truncation = {length, stride, strategy, side};
              options.overflow = true;
              const auto encode = [&] {
                return pair ? tokenizer.encode_pair(first, second, options)
                            : tokenizer.encode(first, options);
              };
              if (want.is_null()) {
                EXPECT_THROW(encode(), Error);
                continue;
              }
              const Encoding got = encode();
              ASSERT_EQ(got.overflow.size() + 1, want.size());
              expect_everything(got, want.at(size_t{0}));
              for (size_t i = 1; i < want.size(); ++i)
                expect_everything(got.overflow[i - 1], want.at(i));
              options.overflow = false;
              EXPECT_EQ(encode().ids, got.ids);
              EXPECT_TRUE(encode().overflow.empty());
              ++compared;
            }
  });
  EXPECT_GT(compared, 100);
}

TEST(Lengths, Padding) {
  each_length_entry([&](const Json& file, const Json& entry, const Tokenizer& tokenizer) {
    size_t at = 0;
    for (const Side side : {Side::left, Side::right})
      for (const auto& [length, multiple] : {std::pair(0, 0), {0, 8}, {5, 0}, {30, 7}}) {
        std::vector<Encoding> batch;
        for (const Json& text : file.at(size_t{0}).at("texts").items())
          batch.push_back(tokenizer.encode(text.as_string()));
        pad(batch, {length, multiple, side, 3, 2});
        const Json& want = entry.at("padded").at(at++);
        for (size_t i = 0; i < batch.size(); ++i) {
          expect_everything(batch[i], want.at(i));
          EXPECT_EQ(Ints(batch[i].attention.begin(), batch[i].attention.end()),
                    ints(want.at(i).at(5)));
        }
      }
  });
}

TEST(Lengths, PaddingReachesWhatOverflows) {
  const Tokenizer t = Tokenizer::bytes();
  EncodeOptions options;
  options.truncation.max_length = 4;
  options.overflow = true;
  options.offsets = false;
  std::vector<Encoding> batch{t.encode("abcdef", options)};
  pad(batch, {.id = 256});
  ASSERT_EQ(batch[0].overflow.size(), 1u);
  EXPECT_EQ(batch[0].overflow[0].ids, (Ints{'e', 'f', 256, 256}));
  EXPECT_TRUE(batch[0].overflow[0].offsets.empty());
}

Tokenizer abc(const Json& dropout) {
  return Tokenizer::from_json(Json::object(
      {{"version", "1.0"},
       {"model",
        Json::object({{"type", "BPE"},
                      {"dropout", dropout},
                      {"vocab", Json::parse(R"({"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4})")},
                      {"merges", Json::parse(R"(["a b", "ab c"])")}})}}));
}

TEST(Dropout, IsReadButHappensOnlyWhereItIsAskedFor) {
  EXPECT_EQ(abc(nullptr).dropout(), 0);
  EXPECT_EQ(abc(0.25).dropout(), 0.25);
  EXPECT_EQ(abc(0.25).encode("abc").ids, (Ints{4}));
  EXPECT_EQ(abc(0.25).encode("abc", {.dropout = {0, RngKey(1)}}).ids, (Ints{4}));
  EXPECT_EQ(abc(0.25).encode("abc", {.dropout = {1, RngKey(1)}}).ids, (Ints{0, 1, 2}));
  EXPECT_THROW(abc(1.5), Error);
}

// Of "abc": the first merge is made with 1 - p, and then the second with 1 - p.
TEST(Dropout, HasTheDistributionThatTheRuleGives) {
  const Tokenizer t = abc(nullptr);
  const double p = 0.3;
  const int n = 20000;
  std::map<Ints, int> counts;
  for (int i = 0; i < n; ++i) ++counts[t.encode("abc", {.dropout = {p, RngKey(7).at(i)}}).ids];
  const std::map<Ints, double> want = {
      {{0, 1, 2}, p}, {{3, 2}, (1 - p) * p}, {{4}, (1 - p) * (1 - p)}};
  ASSERT_EQ(counts.size(), want.size());
  for (const auto& [ids, share] : want)
    EXPECT_NEAR(counts[ids], n * share, 5 * std::sqrt(n * share * (1 - share)));
}

// "ab ab" without a pre-tokenizer: the two candidates are drawn one by one, and one that was passed
// over is up again behind a merge that was made. Both stay apart only if both are passed over.
TEST(Dropout, PutsBackWhatWasPassedOver) {
  const Tokenizer t = abc(nullptr);
  const double p = 0.4;
  const int n = 20000;
  int apart = 0;
  for (int i = 0; i < n; ++i)
    apart += t.encode("abab", {.dropout = {p, RngKey(9).at(i)}}).ids == Ints{0, 1, 0, 1};
  EXPECT_NEAR(apart, n * p * p, 5 * std::sqrt(n * p * p * (1 - p * p)));
}

TEST(Dropout, SameKeySameTokens) {
  const Tokenizer t = abc(nullptr);
  const std::string text = "abcabcabcabcabcabcabcabc";
  const auto ids = [&](uint64_t key) {
    return t.encode(text, {.dropout = {0.5, RngKey(key)}}).ids;
  };
  EXPECT_EQ(ids(1), ids(1));
  EXPECT_NE(ids(1), ids(2));
}

}  // namespace
}  // namespace stemma
