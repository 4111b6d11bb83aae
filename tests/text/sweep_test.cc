// Every code point through every component, alone and in context, by checksum.
#include <gtest/gtest.h>

#include "text/golden.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/segment.h"
#include "text/utf8.h"

namespace stemma {
namespace {

template <class F>
void each_code_point(F f) {
  for (char32_t c = 0; c < 0x110000; ++c)
    if (c < 0xD800 || c >= 0xE000) f(utf8::encode(c));
}

TEST(SlowSweep, Normalizers) {
  const Json file = golden("sweep.json");
  for (const Json& line : file.items()) {
    if (!line.has("normalizer")) continue;
    const auto normalizer = parse_normalizer(line.at("normalizer"), "sweep");
    uint32_t crc = 0;
    each_code_point([&](const std::string& c) {
      Normalized text(c + "\n" + "e" + c + "\u0301" + c, 0);
      normalizer->apply(text);
      crc = crc32(text.text(), crc);
      // A look that finds nothing to do must be right.
      if (normalizer->leaves_alone(c)) {
        Normalized alone(c, 0);
        normalizer->apply(alone);
        ASSERT_EQ(alone.text(), c);
      }
    });
    EXPECT_EQ(crc, line.at("crc").as_int()) << line.at("normalizer").dump();
  }
}

TEST(SlowSweep, PreTokenizers) {
  const Json file = golden("sweep.json");
  for (const Json& line : file.items()) {
    if (!line.has("pre_tokenizer")) continue;
    const auto pre_tokenizer = parse_pre_tokenizer(line.at("pre_tokenizer"), "sweep");
    uint32_t crc = 0;
    std::string list;
    each_code_point([&](const std::string& c) {
      const std::string text = "a" + c + " b1" + c;
      PreTokens pieces;
      pieces.text = text;
      pieces.pieces = {{0, static_cast<uint32_t>(text.size())}};
      pre_tokenizer->apply(pieces);
      const auto place = [&](uint32_t byte) {  // in code points, as decimals
        return std::to_string(utf8::count(std::string_view(text).substr(0, byte)));
      };
      list.clear();
      for (const Piece& piece : pieces.pieces) {
        const TextSpan span = pieces.original(piece.begin, piece.end);
        list += place(span.begin) + "," + place(span.end) + ";";
      }
      crc = crc32(list, crc);
    });
    EXPECT_EQ(crc, line.at("crc").as_int()) << line.at("pre_tokenizer").dump();
  }
}

// Characters of a later Unicode than the reference's have no class there yet.
TEST(Segment, GraphemesAreThoseOfTheReference) {
  EXPECT_EQ(unicode::grapheme_end("e\u0301x", 0), 3u);
  EXPECT_EQ(unicode::grapheme_end("e\u05c7x", 0), 3u);
  EXPECT_EQ(unicode::grapheme_end("e\u05c8x", 0), 1u);
  EXPECT_EQ(unicode::grapheme_end("e\u0b53x", 0), 1u);
}

}  // namespace
}  // namespace stemma
