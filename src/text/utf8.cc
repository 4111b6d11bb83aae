#include "text/utf8.h"

#include <cstring>

namespace stemma::utf8 {

bool is_ascii(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if (word & 0x8080808080808080u) return false;
  }
  for (; i < text.size(); ++i)
    if (text[i] & 0x80) return false;
  return true;
}

size_t count(std::string_view text) {
  size_t n = 0;
  for (char c : text) n += !is_continuation(c);
  return n;
}

int check(std::string_view text, size_t at, int& broken, bool* cut_short) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[at + i]); };
  broken = 1;
  if (cut_short != nullptr) *cut_short = false;
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  const int n = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte's range rules out long forms, surrogates and what lies above U+10FFFF.
  const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (int i = 1; i < n; ++i) {
    if (at + i == text.size()) {
      if (cut_short != nullptr) *cut_short = true;
      return 0;
    }
    const uint8_t b = byte(i);
    if (i == 1 ? b < low || b > high : (b & 0xC0) != 0x80) return 0;
    ++broken;
  }
  return n;
}

size_t first_invalid(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    uint64_t word;
    if (at + 8 <= text.size() &&
        (std::memcpy(&word, text.data() + at, 8), !(word & 0x8080808080808080u))) {
      at += 8;
      continue;
    }
    int broken;
    const int n = check(text, at, broken);
    if (n == 0) return at;
    at += n;
  }
  return at;
}

namespace {
template <class Step>
std::string repair(std::string_view text, Step step) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    int broken;
    const int n = check(text, at, broken);
    out += n ? text.substr(at, n) : kReplacementText;
    at += n ? n : step(broken);
  }
  return out;
}
}  // namespace

std::string replace_bad_bytes(std::string_view text) {
  return repair(text, [](int) { return 1; });
}

std::string lossy(std::string_view bytes) {
  return repair(bytes, [](int broken) { return broken; });
}

}  // namespace stemma::utf8
