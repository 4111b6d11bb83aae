#include "text/seams.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "text/utf8.h"

namespace stemma {
namespace {

bool is_ascii(char byte) { return static_cast<uint8_t>(byte) < 0x80; }

// Up to four bytes as a number.
uint32_t packed(std::string_view bytes) {
  uint32_t out = 0;
  for (const char b : bytes) out = out << 8 | static_cast<uint8_t>(b);
  return out;
}

// The first place at or after `at` that is not ASCII, at most `end`.
size_t skip_ascii(std::string_view text, size_t at, size_t end) {
  constexpr uint64_t kHigh = 0x8080808080808080u;
  for (; at + 8 <= text.size() && at < end; at += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    if (const uint64_t high = word & kHigh)
      return std::min(end, at + static_cast<size_t>(std::countr_zero(high)) / 8);
  }
  while (at < end && is_ascii(text[at])) ++at;
  return std::min(at, end);
}

size_t half_of(char left, char right) {
  return size_t{static_cast<uint8_t>(left)} << 8 | static_cast<uint8_t>(right);
}

}  // namespace

void Seams::add(std::string_view token) {
  const auto character_end = [&](size_t at) {
    do ++at;
    while (at < token.size() && utf8::is_continuation(token[at]));
    return at;
  };
  if (token.empty()) return;
  size_t left = 0, right = character_end(0);
  for (size_t end; right < token.size(); left = right, right = end) {
    end = character_end(right);
    if (is_ascii(token[left]) && is_ascii(token[right])) continue;
    if (right - left > 4 || end - right > 4) continue;  // in no valid text
    if (utf8::is_continuation(token[left]))
      halves_.set(half_of(token[right - 1], token[right]));
    else
      keys_.push_back(
          key(packed(token.substr(left, right - left)), packed(token.substr(right, end - right))));
  }
}

void Seams::finish() {
  bits_.assign(std::bit_ceil(std::max<size_t>(4 * keys_.size(), 64)) / 64, 0);
  const uint64_t mask = bits_.size() * 64 - 1;
  for (const uint64_t k : keys_) bits_[(k & mask) / 64] |= uint64_t{1} << (k % 64);
  keys_ = {};
}

// Whether a token may reach across the place between the characters at `left` and `right`.
bool Seams::crossed(std::string_view text, size_t left, size_t right) const {
  if (halves_[half_of(text[right - 1], text[right])]) return true;
  const uint64_t mask = bits_.size() * 64 - 1;
  const uint32_t whole = packed(text.substr(left, right - left));
  uint32_t part = 0;
  for (const char b : text.substr(right, utf8::length(text[right]))) {
    part = part << 8 | static_cast<uint8_t>(b);
    const uint64_t k = key(whole, part);
    if (bits_[(k & mask) / 64] >> (k % 64) & 1) return true;
  }
  return false;
}

size_t Seams::next(std::string_view text, size_t begin, size_t end) const {
  size_t right = skip_ascii(text, begin, end);
  if (right == end) return end;
  size_t left = right > begin ? right - 1 : right;
  if (left == right) right += utf8::length(text[right]);
  while (right < end) {
    if (is_ascii(text[left]) && is_ascii(text[right])) {
      right = skip_ascii(text, right, end);
      if (right == end) return end;
      left = right - 1;
    }
    if (!crossed(text, left, right)) return right;
    left = right;
    right += utf8::length(text[right]);
  }
  return end;
}

}  // namespace stemma
