#include "text/byte_level.h"

#include <array>

#include "text/utf8.h"

namespace stemma {
namespace {

struct Alphabet {
  struct Letter {
    char text[2];
    uint8_t size;
  };
  std::array<char32_t, 256> character{};
  std::array<Letter, 256> letter{};
  std::array<int16_t, 0x144> byte{};  // the last character is U+0143

  constexpr Alphabet() {
    for (int16_t& b : byte) b = -1;
    char32_t next = 0x100;
    for (int b = 0; b < 256; ++b) {
      const bool itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      const char32_t c = character[b] = itself ? static_cast<char32_t>(b) : next++;
      byte[c] = static_cast<int16_t>(b);
      letter[b] =
          c < 0x80
              ? Letter{{static_cast<char>(c), 0}, 1}
              : Letter{{static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))}, 2};
    }
  }
};

constexpr Alphabet kAlphabet;

}  // namespace

char32_t byte_level_char(uint8_t byte) { return kAlphabet.character[byte]; }

std::string_view byte_level_text(uint8_t byte) {
  const Alphabet::Letter& letter = kAlphabet.letter[byte];
  return {letter.text, letter.size};
}

int byte_of_char(char32_t c) { return c < kAlphabet.byte.size() ? kAlphabet.byte[c] : -1; }

bool byte_level_bytes(std::string_view token, std::string& bytes) {
  bytes.clear();
  for (size_t at = 0; at < token.size();) {
    const int byte = byte_of_char(utf8::next(token, at));
    if (byte < 0) return false;
    bytes += static_cast<char>(byte);
  }
  return true;
}

std::string byte_level_image(std::string_view bytes) {
  std::string image;
  for (char b : bytes) image += byte_level_text(static_cast<uint8_t>(b));
  return image;
}

}  // namespace stemma
