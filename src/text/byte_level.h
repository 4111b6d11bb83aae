// The byte alphabet of byte-level BPE: every byte has one printable character. Bytes 33-126,
// 161-172 and 174-255 stand for themselves, the others in order for U+0100 upward.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace stemma {

char32_t byte_level_char(uint8_t byte);
std::string_view byte_level_text(uint8_t byte);  // the same in UTF-8

// The byte of a character of the alphabet, -1 for any other.
int byte_of_char(char32_t c);

// Bytes of a token written in the alphabet. False, with `bytes` left unspecified, where a character
// is not in it.
bool byte_level_bytes(std::string_view token, std::string& bytes);
std::string byte_level_image(std::string_view bytes);

}  // namespace stemma
