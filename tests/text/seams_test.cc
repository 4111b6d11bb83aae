#include "text/seams.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/rng.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace stemma {
namespace {

// Characters of 1 to 4 bytes.
constexpr char32_t kCharacters[] = {'a',    'b',    ' ',    0xE9,    0x436,  0x301,  0x3042,
                                    0x3044, 0x4E00, 0x4E8C, 0x1F468, 0x200D, 0x10000};

class Draw {
 public:
  explicit Draw(uint64_t seed) : key_(RngKey(seed)) {}
  size_t below(size_t n) {
    return static_cast<size_t>(key_.uniform(draws_++) * static_cast<double>(n));
  }
  std::string text(size_t most) {
    std::string out;
    for (size_t n = below(most) + 1; n > 0; --n)
      utf8::append(out, kCharacters[below(std::size(kCharacters))]);
    return out;
  }

 private:
  RngKey key_;
  uint64_t draws_ = 0;
};

TEST(Seams, NoTokenReachesAcross) {
  size_t found = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Draw draw(seed);
    std::vector<std::string> tokens;
    Seams seams;
    for (int i = 0; i < 40; ++i) {
      std::string token = draw.text(3);
      const size_t cut = draw.below(token.size());  // parts of characters at both ends
      token = token.substr(cut, draw.below(token.size() - cut) + 1);
      seams.add(token);
      tokens.push_back(token);
    }
    seams.finish();
    const std::string text = draw.text(2000);
    for (size_t at = 0, end; at < text.size(); at = end) {
      end = seams.next(text, at, text.size());
      ASSERT_GT(end, at);
      if (end == text.size()) break;
      ++found;
      for (const std::string& token : tokens)
        for (size_t i = 1; i < token.size(); ++i)
          EXPECT_FALSE(i <= end && text.compare(end - i, token.size(), token) == 0)
              << "seed " << seed << " at " << end;
    }
  }
  EXPECT_GT(found, 500u);
}

// Dropout works on whole words; so small a probability drops nothing.
TEST(Seams, WordsCutAtSeamsHaveTheSameTokens) {
  constexpr double kNever = 1e-300;
  for (const char* name : {"bpe_gpt2", "bpe_qwen", "older_llama", "older_gemma"}) {
    const Tokenizer tokenizer = Tokenizer::load(std::filesystem::path(STEMMA_SOURCE_DIR) /
                                                "tests/cases/text" / name / "model");
    Draw draw(7);
    for (int i = 0; i < 300; ++i) {
      const std::string text = draw.text(60);
      const Encoding cut = tokenizer.encode(text);
      const Encoding whole = tokenizer.encode(text, {.dropout = {kNever, RngKey(1)}});
      EXPECT_EQ(cut.ids, whole.ids) << name << ": " << text;
      EXPECT_EQ(cut.offsets, whole.offsets) << name << ": " << text;
    }
  }
}

}  // namespace
}  // namespace stemma
