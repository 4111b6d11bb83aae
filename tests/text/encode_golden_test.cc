// Small tokenizers of every kind against the reference's results on hard texts.
#include <gtest/gtest.h>

#include "text/small_tokenizers.h"
#include "text/tokenizer.h"

namespace stemma {
namespace {

using Ints = std::vector<int32_t>;

void expect_same(const Encoding& got, const Json& want) {
  EXPECT_EQ(got.ids, ints(want.at(size_t{0})));
  EXPECT_EQ(flat(got.offsets), ints(want.at(1)));
  EXPECT_EQ(got.type_ids, ints(want.at(2)));
  EXPECT_EQ(Ints(got.special.begin(), got.special.end()), ints(want.at(3)));
}

TEST(EncodeGolden, Texts) {
  const SmallTokenizers golden;
  golden.each([&](const Json& entry, const Tokenizer& tokenizer) {
    const auto& texts = golden.inputs.at("texts").items();
    for (size_t i = 0; i < texts.size(); ++i) {
      const std::string& text = texts[i].as_string();
      SCOPED_TRACE(text);
      const Json& want = entry.at("texts").at(i);
      const Encoding got = tokenizer.encode(text);
      EXPECT_EQ(got.ids, ints(want.at(size_t{0})));
      EXPECT_EQ(flat(got.offsets), ints(want.at(1)));
      EXPECT_EQ(tokenizer.decode(got.ids), want.at(2).is_null() ? text : want.at(2).as_string());
      const Encoding bare = tokenizer.encode(text, {.offsets = false});
      EXPECT_EQ(bare.ids, got.ids);
      EXPECT_TRUE(bare.offsets.empty());
    }
  });
}

TEST(EncodeGolden, PairsAndTruncation) {
  const SmallTokenizers golden;
  golden.each([&](const Json& entry, const Tokenizer& tokenizer) {
    const auto& pairs = golden.inputs.at("pairs").items();
    for (size_t i = 0; i < pairs.size(); ++i) {
      const std::string &a = pairs[i].at(size_t{0}).as_string(), &b = pairs[i].at(1).as_string();
      SCOPED_TRACE(a + " | " + b);
      const Json& want = entry.at("pairs").at(i);
      expect_same(tokenizer.encode_pair(a, b), want.at(size_t{0}));
      expect_same(tokenizer.encode_pair(a, b, {.special_tokens = false}), want.at(1));
      expect_same(tokenizer.encode_pair(a, b, {.truncation = {.max_length = 6}}), want.at(2));
      expect_same(tokenizer.encode(a, {.truncation = {.max_length = 6}}), want.at(3));
    }
  });
}

TEST(EncodeGolden, DecodesIds) {
  SmallTokenizers().each([&](const Json& entry, const Tokenizer& tokenizer) {
    const Ints ids = ints(entry.at("ids"));
    EXPECT_EQ(tokenizer.decode(ids), entry.at("decoded").at(size_t{0}).as_string());
    EXPECT_EQ(tokenizer.decode(ids, false), entry.at("decoded").at(1).as_string());
  });
}

// Any ids, broken characters among them: what the stream gives is what decode() gives.
TEST(EncodeGolden, StreamsWhatDecodeGives) {
  SmallTokenizers().each([&](const Json&, const Tokenizer& tokenizer) {
    uint32_t state = 1;
    for (int round = 0; round < 200; ++round) {
      Ints ids(round % 40);
      for (int32_t& id : ids) {
        state = state * 1664525 + 1013904223;
        id = static_cast<int32_t>((state >> 8) % tokenizer.vocab_size());
      }
      StreamDecoder stream(tokenizer, round % 2);
      std::string text;
      for (const int32_t id : ids) text += stream.push(id);
      text += stream.finish();
      EXPECT_EQ(text, tokenizer.decode(ids, round % 2));
    }
  });
}

}  // namespace
}  // namespace stemma
