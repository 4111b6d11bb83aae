// Keyed randomness: every draw is a function of (seed, purpose, sample, step, op) and an index,
// never of the order of calls, so that resume is exact and masks do not depend on batch shape or
// worker count. The mixer is SplitMix64's finaliser (Steele, Lea, Flood 2014).
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

namespace stemma {

inline uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// A key is built up by naming what the draw is for: RngKey(seed).of("mask").at(sample).at(epoch).
class RngKey {
 public:
  explicit RngKey(uint64_t seed = 0) : key_(mix64(seed)) {}
  RngKey of(std::string_view purpose) const {
    uint64_t h = key_;
    for (unsigned char c : purpose) h = mix64(h ^ c);
    return RngKey(h, Raw{});
  }
  // Complemented, so that index i under seed s is not index s under seed i.
  RngKey at(uint64_t index) const { return RngKey(mix64(key_ ^ mix64(~index)), Raw{}); }

  // The i-th draw of this key.
  uint64_t bits(uint64_t i) const { return mix64(key_ + i * 0x9e3779b97f4a7c15ull); }
  // Uniform in [0, 1), 53 bits.
  double uniform(uint64_t i) const { return static_cast<double>(bits(i) >> 11) * 0x1p-53; }
  // Uniform in {0, ..., n-1}; the bias is below n / 2^64.
  uint64_t below(uint64_t i, uint64_t n) const {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(bits(i)) * n) >> 64);
  }
  // Standard normal (Box-Muller), two uniforms a draw.
  double normal(uint64_t i) const {
    const double u = 1.0 - uniform(2 * i), v = uniform(2 * i + 1);
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
  }
  // The i-th element of a permutation of {0, ..., n-1}: a four-round Feistel network over the next
  // even power of two, walked until it lands inside (no table, O(1) expected).
  uint64_t permuted(uint64_t i, uint64_t n) const {
    int half = 1;
    while ((uint64_t{1} << (2 * half)) < n) ++half;
    const uint64_t mask = (uint64_t{1} << half) - 1;
    do {
      uint64_t left = i >> half, right = i & mask;
      for (uint64_t round = 0; round < 4; ++round) {
        const uint64_t next = left ^ (at(round).bits(right) & mask);
        left = right;
        right = next;
      }
      i = (left << half) | right;
    } while (i >= n);
    return i;
  }

 private:
  struct Raw {};
  RngKey(uint64_t key, Raw) : key_(key) {}
  uint64_t key_;
};

}  // namespace stemma
