#include "text/serde_number.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <limits>

#include "base/error.h"
#include "base/json.h"

namespace stemma {
namespace {

constexpr int kLargestPower = 308;

// Correctly rounded, 1 to 1e308.
const std::array<double, kLargestPower + 1>& powers_of_ten() {
  static const auto powers = [] {
    std::array<double, kLargestPower + 1> out{};
    for (int i = 0; i <= kLargestPower; ++i) {
      const std::string text = cat("1e", i);
      std::from_chars(text.data(), text.data() + text.size(), out[i]);
    }
    return out;
  }();
  return powers;
}

}  // namespace

double serde_number(std::string_view text, std::string_view where) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  constexpr int64_t kFar = 1 << 20;  // an exponent beyond any that matters
  const bool negative = text.starts_with('-');
  uint64_t digits = 0;
  int64_t exponent = 0;
  bool full = false, fraction = false;
  size_t at = negative;
  for (; at < text.size() && (text[at] | 0x20) != 'e'; ++at) {
    if (text[at] == '.') {
      fraction = true;
      continue;
    }
    const auto digit = static_cast<uint64_t>(text[at] - '0');
    // What does not fit is dropped: for good behind the point, with its place before it.
    if (full || digits > (kMax - digit) / 10) {
      full |= fraction;
      if (!fraction) ++exponent;
      continue;
    }
    digits = digits * 10 + digit;
    if (fraction) --exponent;
  }
  if (at < text.size()) {
    int64_t written = 0;
    bool down = false;
    for (++at; at < text.size(); ++at) {
      if (text[at] == '-') down = true;
      if (text[at] >= '0' && text[at] <= '9')
        written = std::min(written * 10 + (text[at] - '0'), kFar);
    }
    exponent += down ? -written : written;
  }
  auto value = static_cast<double>(digits);
  for (; exponent < -kLargestPower && value != 0; exponent += kLargestPower) value /= 1e308;
  if (value != 0) {
    const double power = powers_of_ten()[std::min<int64_t>(std::abs(exponent), kLargestPower)];
    value = exponent >= 0 ? value * power : value / power;
    check(exponent <= kLargestPower && value <= std::numeric_limits<double>::max(), "[", where,
          "] the number ", text, " is out of range");
  }
  return negative ? -value : value;
}

std::string serde_text(double value) {
  const std::string shortest = Json(value).number_text();
  if (serde_number(shortest, "number") == value) return shortest;
  for (int precision = 9; precision <= 19; ++precision) {
    char text[64];
    const int size = std::snprintf(text, sizeof text, "%.*e", precision, value);
    if (serde_number({text, static_cast<size_t>(size)}, "number") == value) return text;
  }
  return shortest;
}

}  // namespace stemma
