#include "text/trainer.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/temp_dir.h"
#include "text/golden.h"

namespace stemma {
namespace {

Tokenizer train(std::span<const std::string_view> texts, const TokenizerTraining& training,
                int threads = 2) {
  Team team(threads);
  return train_tokenizer(texts, training, team);
}

TEST(BpeTrainer, MakesTheMergesOfTheReference) {
  const Json file = golden("train.json");
  const std::string& prose = file.at(size_t{0}).at("prose").as_string();
  const std::string_view texts[] = {prose, std::string_view(prose).substr(0, 400),
                                    "aaaa aaa aa abababab\n"};
  TempDir directory;
  for (size_t i = 1; i < file.size(); ++i) {
    const Json& want = file.at(i);
    TokenizerTraining options;
    options.vocab_size = static_cast<int>(want.at("size").as_int());
    options.min_frequency = want.at("frequency").as_int();
    options.special_tokens = {"<|endoftext|>", "<pad>"};
    const Tokenizer tokenizer = train(texts, options);
    EXPECT_EQ(tokenizer.vocab_size(), want.at("tokens").as_int());
    tokenizer.save(directory / "t");
    const Json model = Json::parse_file(directory / "t" / "tokenizer.json").at("model");
    const auto& merges = want.at("merges").items();
    ASSERT_EQ(model.at("merges").size(), merges.size());
    for (size_t m = 0; m < merges.size(); ++m)
      EXPECT_EQ(model.at("merges").at(m).at(size_t{0}).as_string() + " " +
                    model.at("merges").at(m).at(1).as_string(),
                merges[m].as_string());
  }
}

TEST(BpeTrainer, ResultEncodesAndComesBackFromDisk) {
  const std::string_view texts[] = {"the lamp and the light and the lamp", "the light"};
  const Tokenizer tokenizer = train(texts, {.vocab_size = 300});
  TempDir directory;
  tokenizer.save(directory / "t");
  const Tokenizer loaded = Tokenizer::load(directory / "t");
  const std::string text = "the lamp, <|endoftext|> caf\u00e9\n";
  EXPECT_EQ(loaded.encode(text).ids, tokenizer.encode(text).ids);
  EXPECT_EQ(loaded.decode(loaded.encode(text).ids, false), text);
  EXPECT_EQ(loaded.special().eos, 0);
  EXPECT_TRUE(loaded.is_special(0));
  EXPECT_EQ(loaded.token(0), "<|endoftext|>");
}

TEST(BpeTrainer, OrderOfTextsDoesNotMatter) {
  const std::string_view forth[] = {"abc abd", "bcd bce", "cde"},
                         back[] = {"cde", "bcd bce", "abc abd"};
  const Tokenizer a = train(forth, {.vocab_size = 280});
  const Tokenizer b = train(back, {.vocab_size = 280});
  ASSERT_EQ(a.vocab_size(), b.vocab_size());
  for (int32_t id = 0; id < a.vocab_size(); ++id) EXPECT_EQ(a.token(id), b.token(id));
}

TEST(BpeTrainer, StopsWhenNothingIsLeftToMerge) {
  int last = -1;
  TokenizerTraining options;
  options.progress = [&](int done, int total) {
    EXPECT_LE(done, total);
    last = done;
  };
  const std::string_view texts[] = {"ab"};
  const Tokenizer tokenizer = train(texts, options);
  EXPECT_EQ(tokenizer.vocab_size(), 1 + 256 + 1);
  EXPECT_EQ(last, 258);
}

TEST(BpeTrainer, RefusesSizesOutOfRange) {
  EXPECT_THROW(train(std::span<const std::string_view>(), {.vocab_size = -1}), Error);
}

std::string file_of(const Tokenizer& tokenizer) { return tokenizer.file().dump(); }

// Words that repeat, in several scripts.
std::vector<std::string> corpus() {
  std::vector<std::string> texts;
  const char* const words[] = {"lamp",  "light", "lights",  "keeper",       "keepers",   "the",
                               "night", "ship",  "shipped", "\u706f\u53f0", "caf\u00e9", "1987"};
  uint32_t state = 1;
  for (int i = 0; i < 400; ++i) {
    std::string text;
    for (int w = 0; w < 9; ++w) {
      state = state * 1664525 + 1013904223;
      text += cat(w > 0 ? " " : "", words[(state >> 10) % 12]);
    }
    texts.push_back(text + ".\n");
  }
  return texts;
}

TEST(Trainers, SameForAnyNumberOfThreadsAndOrderOfTexts) {
  const std::vector<std::string> texts = corpus();
  const std::vector<std::string_view> forth(texts.begin(), texts.end()),
      back(texts.rbegin(), texts.rend());
  for (const auto kind : {TokenizerKind::byte_bpe, TokenizerKind::bpe, TokenizerKind::wordpiece,
                          TokenizerKind::unigram}) {
    const TokenizerTraining training{.kind = kind, .vocab_size = 80};
    const std::string one = file_of(train(forth, training, 1));
    EXPECT_EQ(file_of(train(forth, training, 2)), one);
    EXPECT_EQ(file_of(train(back, training, 3)), one);
  }
}

TEST(Trainers, ResultsEncodeWhatTheyLearnt) {
  const std::vector<std::string> texts = corpus();
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  const std::string text = "the lights shipped caf\u00e9 lamp";
  for (const auto kind : {TokenizerKind::bpe, TokenizerKind::wordpiece, TokenizerKind::unigram}) {
    const Tokenizer tokenizer = train(views, {.kind = kind, .vocab_size = 120});
    EXPECT_LE(tokenizer.vocab_size(), 120);
    const Encoding encoding = tokenizer.encode(text, {.special_tokens = false});
    EXPECT_LE(encoding.ids.size(), 9u) << static_cast<int>(kind);
    const std::string back = tokenizer.decode(encoding.ids);
    EXPECT_EQ(back, kind == TokenizerKind::wordpiece ? "the lights shipped cafe lamp" : text);
    TempDir directory;
    tokenizer.save(directory / "t");
    EXPECT_EQ(Tokenizer::load(directory / "t").encode(text).ids, tokenizer.encode(text).ids);
  }
}

TEST(Trainers, UnigramPrefersFrequentWords) {
  const std::vector<std::string> texts = corpus();
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  const Tokenizer tokenizer = train(views, {.kind = TokenizerKind::unigram, .vocab_size = 70});
  EXPECT_TRUE(tokenizer.id("\u2581the"));
  EXPECT_TRUE(tokenizer.id("\u2581night"));
  EXPECT_TRUE(tokenizer.id("\u706f"));  // characters are never lost
  EXPECT_EQ(tokenizer.special().unk, 0);
}

TEST(Trainers, MemoryForWordsIsBounded) {
  std::vector<std::string> texts;
  for (int i = 0; i < 3000; ++i) texts.push_back(cat("w", i, " the lamp"));
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  const Tokenizer tokenizer =
      train(views, {.kind = TokenizerKind::wordpiece, .vocab_size = 60, .max_words = 10});
  EXPECT_TRUE(tokenizer.id("lamp"));
  EXPECT_FALSE(tokenizer.id("w"));
}

TEST(Trainers, OfEquallyFrequentCharactersTheLeastStay) {
  const std::string_view texts[] = {"zyx zyx bcaz",
                                    "xyab"};  // \u2581, x, y and z 3 times, a and b 2
  const Tokenizer tokenizer =
      train(texts,
            {.kind = TokenizerKind::bpe, .vocab_size = 9, .min_frequency = 9, .limit_alphabet = 5});
  for (const char* kept : {"\u2581", "x", "y", "z", "a"}) EXPECT_TRUE(tokenizer.id(kept)) << kept;
  for (const char* left : {"b", "c"}) EXPECT_FALSE(tokenizer.id(left)) << left;
}

TEST(Trainers, UnigramNeedsAnUnknownToken) {
  const std::string_view texts[] = {"ab"};
  EXPECT_THROW(train(texts, {.kind = TokenizerKind::unigram, .special_tokens = {"<s>"}}), Error);
}

}  // namespace
}  // namespace stemma
