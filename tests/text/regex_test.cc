#include "text/regex.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "text/golden.h"
#include "text/pre_tokenizer.h"

namespace stemma {
namespace {

using Strings = std::vector<std::string>;

Strings pieces(const std::string& pattern, std::string_view text) {
  const auto split =
      parse_pre_tokenizer(Json::object({{"type", "Split"},
                                        {"pattern", Json::object({{"Regex", pattern}})},
                                        {"behavior", "Isolated"},
                                        {"invert", false}}),
                          "test");
  PreTokens tokens;
  tokens.text = text;
  tokens.pieces = {{0, static_cast<uint32_t>(text.size())}};
  split->apply(tokens);
  Strings out;
  for (const Piece& piece : tokens.pieces) out.emplace_back(tokens.of(piece));
  return out;
}

TEST(Regex, CutsAsTheReference) {
  const Json file = golden("regex.json");
  for (const Json& line : file.items()) {
    Strings want;
    for (const Json& piece : line.at("pieces").items()) want.push_back(piece.as_string());
    const std::string& pattern = line.at("pattern").as_string();
    EXPECT_EQ(pieces(pattern, line.at("text").as_string()), want) << pattern;
  }
}

// The published expressions have scanners; in parentheses they are run by the matcher.
TEST(Regex, ScannersAgreeWithTheMatcher) {
  const Strings kParts = {"'",      "s",  "S",    "ll",     "'VE",    "\u017f", " ",  "  ",
                          "\t",     "\n", "\r\n", "\u00a0", "\u2028", "a",      "Z",  "\u00e9",
                          "\u4e2d", "1",  "23",   "\u00b2", "\u0301", "!",      "--", "\U0001F600"};
  const Strings kPatterns = {
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
      R"(\s*[\r\n]+|\s+(?!\S)|\s+)",
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
      R"(\s*[\r\n]+|\s+(?!\S)|\s+)"};
  uint32_t state = 7;
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (int i = 0; i < 1 + round % 9; ++i) {
      state = state * 1664525 + 1013904223;
      text += kParts[(state >> 10) % kParts.size()];
    }
    for (const std::string& pattern : kPatterns)
      ASSERT_EQ(pieces(pattern, text), pieces("(?:" + pattern + ")", text)) << text;
  }
}

Code code_of(const std::string& pattern) {
  try {
    Regex regex(pattern, "test");
  } catch (const Error& e) {
    EXPECT_EQ(e.message().rfind("[test] the pattern '" + pattern, 0), 0u) << e.message();
    return e.code();
  }
  ADD_FAILURE() << pattern << " was accepted";
  return Code::kUsage;
}

TEST(Regex, RefusesWhatItCannotRunExactly) {
  for (const char* pattern :
       {R"((a)\1)",       R"(\K)",        R"(\R)",         R"(\X)",      R"(\G)",
        R"([[:alpha:]])", R"(\p{Greek})", R"(\pL)",        "(?i)a",      "(?m:.)",
        "(?<n>a)",        "(?#c)a",       "(?i:\xc3\xa9)", R"((?i:ss))", R"((?i:st))",
        R"((?i:\p{Lu}))", R"((?i:[^a]))", "(?<=a+)b",      "(?=a)*",     R"([a-\d])",
        R"([\d-a])",      "a{5000}"})
    EXPECT_EQ(code_of(pattern), Code::kUnsupported) << pattern;
}

TEST(Regex, RefusesMalformedPatterns) {
  for (const char* pattern : {"(", ")", "a)", "(a", "[", "[a", "*", "+a", "?", "\\", "[b-a]",
                              R"(\x{110000})", R"(\u12)", R"(\p{L)", R"(\x{41)"})
    EXPECT_EQ(code_of(pattern), Code::kFailed) << pattern;
  EXPECT_EQ(code_of(std::string(5000, '(')), Code::kUnsupported);
  EXPECT_EQ(code_of(std::string(5000, '[')), Code::kUnsupported);
}

TEST(Regex, LongTextsNeedNoDeepStack) {
  const std::string text(1 << 20, 'a');
  size_t begin, end;
  EXPECT_TRUE(Regex("(?:a|b)*c|a*").find(text, 0, begin, end));
  EXPECT_EQ(end, text.size());
  EXPECT_TRUE(Regex("(?:(?:a)+?)*$").find(text, 0, begin, end));
  EXPECT_EQ(end, text.size());
}

TEST(Regex, GivesUpOnEndlessBacktracking) {
  size_t begin, end;
  EXPECT_THROW(Regex("(?:a*)*(?:a*)*(?:a*)*b").find(std::string(2000, 'a'), 0, begin, end), Error);
}

}  // namespace
}  // namespace stemma
