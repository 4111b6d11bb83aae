#include "text/unicode.h"

#include <gtest/gtest.h>

#include <string>

#include "base/rng.h"
#include "text/utf8.h"

namespace stemma {
namespace {

TEST(Unicode, TextsOfCharactersThatKeepNfcAreTheirOwnNfc) {
  const RngKey key(3);
  uint64_t draws = 0;
  for (int i = 0; i < 2000; ++i) {
    std::u32string characters;
    std::string text;
    while (characters.size() < 30) {
      const auto c = static_cast<char32_t>(key.uniform(draws++) * 0x3200);  // where much composes
      if (!unicode::keeps_nfc(c)) continue;
      characters += c;
      utf8::append(text, c);
    }
    const auto edits = unicode::normalize(text, unicode::Form::nfc);
    ASSERT_EQ(edits.size(), characters.size()) << text;
    for (size_t k = 0; k < edits.size(); ++k) {
      EXPECT_EQ(edits[k].c, characters[k]) << text;
      EXPECT_EQ(edits[k].change, 0) << text;
    }
  }
}

TEST(Unicode, KeepsNfc) {
  for (const char32_t c : {U'a', U'\u00e9', U'\u304b', U'\u304c', U'\u4e00', U'\uac00'})
    EXPECT_TRUE(unicode::keeps_nfc(c)) << static_cast<uint32_t>(c);
  for (const char32_t c : {U'\u0301', U'\u3099', U'\u0958', U'\u212b', U'\u1161', U'\u11a8'})
    EXPECT_FALSE(unicode::keeps_nfc(c)) << static_cast<uint32_t>(c);
}

}  // namespace
}  // namespace stemma
