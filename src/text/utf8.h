// UTF-8: decoding of text known to be valid, encoding, and repair of text that may not be.
// Valid means: shortest forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace stemma::utf8 {

inline constexpr char32_t kReplacement = 0xFFFD;
inline constexpr std::string_view kReplacementText = "\xEF\xBF\xBD";

inline bool is_continuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

// Bytes of the character that starts with `lead`, in valid text.
inline int length(char lead) {
  const auto b = static_cast<uint8_t>(lead);
  return b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

// The character at `at` in valid text; moves `at` behind it.
inline char32_t next(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[at + i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return at += 1, lead;
  if (lead < 0xE0) {
    const char32_t c = (lead & 0x1Fu) << 6 | (byte(1) & 0x3Fu);
    return at += 2, c;
  }
  if (lead < 0xF0) {
    const char32_t c = (lead & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
    return at += 3, c;
  }
  const char32_t c =
      (lead & 0x07u) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 | (byte(3) & 0x3Fu);
  return at += 4, c;
}

inline char32_t peek(std::string_view text, size_t at) { return next(text, at); }

// The character that ends before `at` (> 0) in valid text; moves `at` to its start.
inline char32_t previous(std::string_view text, size_t& at) {
  do --at;
  while (is_continuation(text[at]));
  return peek(text, at);
}

inline int encoded_length(char32_t c) { return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4; }

inline void append(std::string& text, char32_t c) {
  if (c < 0x80) {
    text += static_cast<char>(c);
    return;
  }
  const int n = encoded_length(c);
  constexpr uint8_t kLead[] = {0, 0, 0xC0, 0xE0, 0xF0};
  text += static_cast<char>(kLead[n] | c >> 6 * (n - 1));
  for (int i = n - 2; i >= 0; --i) text += static_cast<char>(0x80 | (c >> 6 * i & 0x3F));
}

inline std::string encode(char32_t c) {
  std::string text;
  append(text, c);
  return text;
}

bool is_ascii(std::string_view text);
size_t count(std::string_view text);  // characters of valid text

// Length of the valid character at `at`, or 0 with `broken` set to the length of the longest part
// there that could have begun one (at least 1): what a lossy reader replaces by one U+FFFD.
// `cut_short` (may be null) tells whether only the end of the text kept it from being valid.
int check(std::string_view text, size_t at, int& broken, bool* cut_short = nullptr);

// Position of the first byte that is not part of a valid character; text.size() if all is valid.
size_t first_invalid(std::string_view text);

// Each bad byte becomes one U+FFFD (what Stemma does with its input).
std::string replace_bad_bytes(std::string_view text);
// Each longest broken part becomes one U+FFFD (what decoders of byte-level tokens do).
std::string lossy(std::string_view bytes);

}  // namespace stemma::utf8
