// A fast hash of short byte strings (multiply and fold, 8 bytes at a time) and of integers.
// Not for use against an adversary who picks keys: tables that foreign text fills are bounded or
// short-lived.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace stemma {

inline uint64_t hash_mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t hash_bytes(std::string_view text) {
  constexpr uint64_t kA = 0x9E3779B97F4A7C15u, kB = 0xD6E8FEB86659FD93u;
  const char* p = text.data();
  size_t n = text.size();
  uint64_t h = kA ^ n;
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    h = hash_mix(h ^ word, kB);
  }
  uint64_t word = 0;
  std::memcpy(&word, p, n);
  return hash_mix(h ^ word, kA);
}

inline uint64_t hash_int(uint64_t x) {
  return hash_mix(x ^ 0x9E3779B97F4A7C15u, 0xD6E8FEB86659FD93u);
}

}  // namespace stemma
