#include "base/json_scanner.h"

#include <array>

namespace stemma {
namespace {

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

// Length of the well-formed UTF-8 sequence at p (Unicode table 3-7), 0 where there is none.
int utf8_length(const char* p, const char* end) {
  const auto byte = [&](int i) { return static_cast<unsigned char>(p[i]); };
  const auto tail = [&](int i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned char c = byte(0);
  if (c < 0x80) return 1;
  if (c >= 0xC2 && c <= 0xDF) return end - p >= 2 && tail(1) ? 2 : 0;
  if (c >= 0xE0 && c <= 0xEF) {
    if (end - p < 3 || !tail(1) || !tail(2)) return 0;
    const bool overlong = c == 0xE0 && byte(1) < 0xA0, surrogate = c == 0xED && byte(1) > 0x9F;
    return overlong || surrogate ? 0 : 3;
  }
  if (c >= 0xF0 && c <= 0xF4) {
    if (end - p < 4 || !tail(1) || !tail(2) || !tail(3)) return 0;
    const bool overlong = c == 0xF0 && byte(1) < 0x90, beyond = c == 0xF4 && byte(1) > 0x8F;
    return overlong || beyond ? 0 : 4;
  }
  return 0;
}

// Bytes that end a run of ordinary ASCII inside a string: quote, backslash, control, non-ASCII.
constexpr std::array<bool, 256> kEndsRun = [] {
  std::array<bool, 256> ends{};
  for (int c = 0; c < 256; ++c) ends[c] = c < 0x20 || c == '"' || c == '\\' || c >= 0x80;
  return ends;
}();

}  // namespace

JsonScanner::JsonScanner(std::string_view text, std::string_view where, const JsonLimits& limits)
    : begin_(text.data()), p_(begin_), end_(begin_ + text.size()), where_(where), limits_(limits) {
  if (text.size() > limits.bytes)
    error("the text has ", text.size(), " bytes, the limit is ", limits.bytes);
  if (text.starts_with("\xEF\xBB\xBF"))
    error("the text opens with a byte order mark; JSON has none");
}

std::pair<int64_t, int64_t> JsonScanner::place(const char* at) const {
  int64_t line = 1, column = 1;
  for (const char* c = begin_; c < at; ++c) {
    if (*c == '\n')
      ++line, column = 1;
    else if ((static_cast<unsigned char>(*c) & 0xC0) != 0x80)
      ++column;
  }
  return {line, column};
}

std::string JsonScanner::found() const {
  if (p_ == end_) return "the end of the text";
  const unsigned char c = static_cast<unsigned char>(*p_);
  if (c > 0x20 && c < 0x7F) return cat("'", *p_, "'");
  return cat("byte ", static_cast<int>(c));
}

Json::Kind JsonScanner::kind() {
  skip_space();
  if (p_ == end_) error("expected a value, found the end of the text");
  switch (*p_) {
    case '{':
      return Json::Kind::object;
    case '[':
      return Json::Kind::array;
    case '"':
      return Json::Kind::string;
    case 't':
    case 'f':
      return Json::Kind::boolean;
    case 'n':
      return Json::Kind::null;
    default:
      return Json::Kind::number;
  }
}

void JsonScanner::literal(std::string_view word) {
  if (!std::string_view(p_, end_).starts_with(word))
    error("expected a value, found ", found(), " (not '", word, "')");
  p_ += word.size();
}

bool JsonScanner::boolean() {
  skip_space();
  const bool value = p_ != end_ && *p_ == 't';
  literal(value ? "true" : "false");
  return value;
}

// Into an array or object, as far as its first value or end.
void JsonScanner::open(char c, std::string_view what) {
  skip_space();
  if (p_ == end_ || *p_ != c) error("expected ", what, ", found ", found());
  if (++depth_ > limits_.depth) error("nested deeper than ", limits_.depth, " levels");
  ++p_;
  skip_space();
}

void JsonScanner::finish() {
  skip_space();
  if (p_ != end_) error("expected the end of the text, found ", found());
}

std::string_view JsonScanner::string() {
  skip_space();
  if (p_ == end_ || *p_ != '"') error("expected a string, found ", found());
  const char* opening = p_++;
  const char* run = p_;
  scan_run(opening);
  if (*p_ == '"') return {run, p_++};
  for (unescaped_.clear();; run = p_, scan_run(opening)) {
    unescaped_.append(run, p_);
    if (*p_++ == '"') return unescaped_;
    escape();
  }
}

// Moves to the quote or backslash that ends the run, checking what is passed.
void JsonScanner::scan_run(const char* opening) {
  while (true) {
    while (p_ != end_ && !kEndsRun[static_cast<unsigned char>(*p_)]) ++p_;
    if (p_ == end_) error_at(opening, "a string that opens here never ends");
    if (*p_ == '"' || *p_ == '\\') return;
    if (static_cast<unsigned char>(*p_) < 0x20)
      error("control character ", found(), " in a string; write it as an escape");
    const int length = utf8_length(p_, end_);
    if (length == 0) error("invalid UTF-8 (", found(), ") in a string");
    p_ += length;
  }
}

// p_ is behind a backslash.
void JsonScanner::escape() {
  std::string& out = unescaped_;
  if (p_ == end_) error("the text ends inside an escape");
  switch (*p_++) {
    case '"':
      out += '"';
      return;
    case '\\':
      out += '\\';
      return;
    case '/':
      out += '/';
      return;
    case 'b':
      out += '\b';
      return;
    case 'f':
      out += '\f';
      return;
    case 'n':
      out += '\n';
      return;
    case 'r':
      out += '\r';
      return;
    case 't':
      out += '\t';
      return;
    case 'u':
      break;
    default:
      --p_;
      error("unknown escape: backslash and ", found());
  }
  const char* at = p_ - 2;
  uint32_t c = hex4();
  if (c >= 0xDC00 && c <= 0xDFFF) error_at(at, "a low surrogate without a high one before it");
  if (c >= 0xD800 && c <= 0xDBFF) {
    if (!std::string_view(p_, end_).starts_with("\\u"))
      error_at(at, "a high surrogate without a low one behind it");
    p_ += 2;
    const uint32_t low = hex4();
    if (low < 0xDC00 || low > 0xDFFF) error_at(at, "a high surrogate without a low one behind it");
    c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
  }
  append_utf8(out, c);
}

uint32_t JsonScanner::hex4() {
  uint32_t c = 0;
  for (int i = 0; i < 4; ++i, ++p_) {
    if (p_ == end_) error("the text ends inside an escape");
    const char d = *p_;
    if (d >= '0' && d <= '9')
      c = c * 16 + static_cast<uint32_t>(d - '0');
    else if ((d | 0x20) >= 'a' && (d | 0x20) <= 'f')
      c = c * 16 + static_cast<uint32_t>((d | 0x20) - 'a' + 10);
    else
      error("expected four hexadecimal digits, found ", found());
  }
  return c;
}

std::string_view JsonScanner::number() {
  skip_space();
  const char* start = p_;
  const auto digits = [&] {
    if (p_ == end_ || *p_ < '0' || *p_ > '9')
      error("expected a ", p_ == start ? "value" : "digit", ", found ", found());
    while (p_ != end_ && *p_ >= '0' && *p_ <= '9') ++p_;
  };
  take('-');
  if (constexpr std::string_view kInfinity = "Infinity";
      limits_.infinities && std::string_view(p_, end_).starts_with(kInfinity))
    return {start, p_ += kInfinity.size()};
  if (!take('0'))
    digits();
  else if (p_ != end_ && *p_ >= '0' && *p_ <= '9')
    error_at(start, "a number with a leading zero");
  if (take('.')) digits();
  if (take('e') || take('E')) {
    if (!take('+')) take('-');
    digits();
  }
  return {start, p_};
}

}  // namespace stemma
