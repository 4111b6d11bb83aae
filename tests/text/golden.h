// Committed results of the reference (tools/reference/make_text_goldens.py), and checksums as it
// makes them.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/json.h"

namespace stemma {

inline Json golden(const char* name) {
  return Json::parse_file(std::filesystem::path(STEMMA_SOURCE_DIR) / "tests/text/golden" / name);
}

// CRC-32 as zlib's crc32(data, seed).
inline uint32_t crc32(std::string_view data, uint32_t seed = 0) {
  static const auto table = [] {
    std::array<uint32_t, 256> t;
    for (uint32_t i = 0; i < 256; ++i) {
      t[i] = i;
      for (int k = 0; k < 8; ++k) t[i] = t[i] >> 1 ^ (t[i] & 1 ? 0xEDB88320u : 0);
    }
    return t;
  }();
  uint32_t crc = ~seed;
  for (const char c : data) crc = crc >> 8 ^ table[(crc ^ static_cast<uint8_t>(c)) & 255];
  return ~crc;
}

inline uint32_t crc32_of_ints(const auto& ints, uint32_t seed = 0) {
  for (const int32_t i : ints) {
    const char bytes[4] = {static_cast<char>(i), static_cast<char>(i >> 8),
                           static_cast<char>(i >> 16), static_cast<char>(i >> 24)};
    seed = crc32({bytes, 4}, seed);
  }
  return seed;
}

}  // namespace stemma
