#include "text/charsmap.h"

#include "base/error.h"
#include "text/utf8.h"

namespace stemma {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

uint32_t read_u32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= uint32_t{static_cast<uint8_t>(bytes[at + i])} << 8 * i;
  return value;
}

}  // namespace

CharsMap::CharsMap(std::string_view bytes, std::string_view where) {
  check(bytes.size() >= 8, "[", where, "] the precompiled character map is cut short");
  const size_t size = read_u32(bytes, 0);
  check(size >= 4 && size % 4 == 0 && size <= bytes.size() - 4, "[", where,
        "] the trie of the precompiled character map does not fit: ", size, " of ", bytes.size(),
        " bytes");
  for (size_t at = 4; at < 4 + size; at += 4) units_.push_back(read_u32(bytes, at));
  pool_ = bytes.substr(4 + size);
  check(utf8::first_invalid(pool_) == pool_.size(), "[", where,
        "] the precompiled character map is not UTF-8");
}

CharsMap CharsMap::from_base64(std::string_view text, std::string_view where) {
  return CharsMap(base64_decode(text, where), where);
}

std::optional<std::string_view> CharsMap::find(std::string_view text) const {
  const auto offset = [](uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); };
  uint32_t at = offset(units_[0]);
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte == 0) break;
    at ^= byte;
    if (at >= units_.size()) break;
    const uint32_t unit = units_[at];
    if ((unit & (1u << 31 | 0xFF)) != byte) break;
    at ^= offset(unit);
    if ((unit & 1u << 8) == 0) continue;
    if (at >= units_.size()) break;
    const uint32_t place = units_[at] & 0x7FFFFFFF;
    if (place > pool_.size() || (place < pool_.size() && utf8::is_continuation(pool_[place])))
      break;
    const auto rest = std::string_view(pool_).substr(place);
    return rest.substr(0, rest.find('\0'));
  }
  return std::nullopt;
}

std::string base64_encode(std::string_view bytes) {
  std::string out;
  for (size_t at = 0; at < bytes.size(); at += 3) {
    uint32_t bits = 0;
    for (size_t i = at; i < at + 3; ++i)
      bits = bits << 8 | (i < bytes.size() ? static_cast<uint8_t>(bytes[i]) : 0);
    for (size_t i = 0; i < 4; ++i)
      out += at + i <= bytes.size() ? kAlphabet[bits >> (18 - 6 * i) & 63] : '=';
  }
  return out;
}

std::string base64_decode(std::string_view text, std::string_view where) {
  check(text.size() % 4 == 0, "[", where, "] '", text.substr(0, 40), "' is not base64");
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t digit = kAlphabet.find(c);
    check(digit != kAlphabet.npos, "[", where, "] '", text.substr(0, 40), "' is not base64");
    bits = bits << 6 | static_cast<uint32_t>(digit);
    if ((count += 6) >= 8) bytes += static_cast<char>(bits >> (count -= 8));
  }
  return bytes;
}

}  // namespace stemma
