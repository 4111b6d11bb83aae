// Character properties and normalisation forms, in the Unicode versions the reference mixes:
// general categories and word characters 16.0, normalisation and marks of StripAccents 9.0,
// Bert's classes 8.0, numbers and lower case 17.0. All functions are total over 0..10FFFF.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "text/unicode_tables.h"

namespace stemma::unicode {

enum class Category : uint8_t {
  Cn,
  Lu,
  Ll,
  Lt,
  Lm,
  Lo,
  Mn,
  Mc,
  Me,
  Nd,
  Nl,
  No,
  Pc,
  Pd,
  Ps,
  Pe,
  Pi,
  Pf,
  Po,
  Sm,
  Sc,
  Sk,
  So,
  Zs,
  Zl,
  Zp,
  Cc,
  Cf,
  Cs,
  Co,
};

enum class BertClass : uint8_t { none, punctuation, nonspacing_mark, control };

// One code point's bits; make_tables.py packs them.
struct CharProperties {
  uint16_t bits;
  Category category() const { return static_cast<Category>(bits & 31); }
  BertClass bert() const { return static_cast<BertClass>(bits >> 5 & 3); }
  bool whitespace() const { return bits >> 7 & 1; }
  bool mark() const { return bits >> 8 & 1; }
  bool numeric() const { return bits >> 9 & 1; }
  bool word() const { return bits >> 10 & 1; }          // \w of the added tokens
  bool han() const { return bits >> 11 & 1; }           // Bert's Chinese characters
  bool nfd_inert() const { return !(bits >> 12 & 1); }  // a starter that is its own NFD
  bool nfc_inert() const { return !(bits >> 13 & 1); }  // is its own NFC beside any neighbour
  bool decomposes() const { return bits >> 14 & 1; }    // under NFKD
  bool han_script() const { return bits >> 15 & 1; }
};

inline CharProperties properties(char32_t c) {
  return {kRecords[kRecord[kRecordBlock[c / 128] * 128 + c % 128]]};
}

inline bool is_letter(Category c) { return c >= Category::Lu && c <= Category::Lo; }
inline bool is_mark(Category c) { return c >= Category::Mn && c <= Category::Me; }
inline bool is_number(Category c) { return c >= Category::Nd && c <= Category::No; }
inline bool is_punctuation(Category c) { return c >= Category::Pc && c <= Category::Po; }
inline bool is_symbol(Category c) { return c >= Category::Sm && c <= Category::So; }
inline bool is_separator(Category c) { return c >= Category::Zs && c <= Category::Zp; }

inline bool is_whitespace(char32_t c) { return properties(c).whitespace(); }

// Lower case of one character, without context. U+0130 alone has two: i, then U+0307.
inline constexpr char32_t kDottedCapitalI = 0x130;
inline char32_t lower(char32_t c) {
  return c + kLowerShifts[kLower[kLowerBlock[c / 128] * 128 + c % 128]];
}

enum class Form : uint8_t { nfd, nfc, nfkd, nfkc };

// A character of the normalised text and how it came about: 0 replaces the next character of the
// old text, +1 is inserted behind it, -n replaces one and swallows the n that follow.
struct Edit {
  char32_t c;
  int change;
};

// Normalises a whole text. Edits follow the reference's own bookkeeping, since offsets depend on
// it: composing adds up the changes of the parts, reordering carries them along.
std::vector<Edit> normalize(std::string_view text, Form form);

// Texts of such characters alone are their own NFC: starters that are their own NFC and compose
// with nothing before them. Not all of them are known.
bool keeps_nfc(char32_t c);

}  // namespace stemma::unicode
