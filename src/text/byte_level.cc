#include "text/byte_level.h"

#include <array>

#include "text/utf8.h"

namespace stemma {
namespace {

struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<std::string, 256> text;
  std::array<int16_t, 0x144> byte{};  // the last character is U+0143

  Alphabet() {
    byte.fill(-1);
    char32_t next = 0x100;
    for (int b = 0; b < 256; ++b) {
      const bool itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      character[b] = itself ? b : next++;
      text[b] = utf8::encode(character[b]);
      byte[character[b]] = static_cast<int16_t>(b);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

}  // namespace

char32_t byte_level_char(uint8_t byte) { return alphabet().character[byte]; }
std::string_view byte_level_text(uint8_t byte) { return alphabet().text[byte]; }

int byte_of_char(char32_t c) { return c < alphabet().byte.size() ? alphabet().byte[c] : -1; }

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
