// Scanners for the published split expressions. Each is the expression, alternative by alternative,
// on one pass over the text; regex_test.cc holds them against the matcher.
#include "text/splitter.h"

#include <array>

#include "base/error.h"
#include "text/regex.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace stemma {
namespace {

using unicode::is_letter;
using unicode::is_number;

enum class Kind : uint8_t { letter, number, space, other };

Kind kind_of(char32_t c) {
  static const auto ascii = [] {
    std::array<Kind, 128> kinds;
    for (char32_t i = 0; i < 128; ++i) {
      const auto p = unicode::properties(i);
      kinds[i] = is_letter(p.category())   ? Kind::letter
                 : is_number(p.category()) ? Kind::number
                 : p.whitespace()          ? Kind::space
                                           : Kind::other;
    }
    return kinds;
  }();
  if (c < 128) return ascii[c];
  const auto p = unicode::properties(c);
  return is_letter(p.category())   ? Kind::letter
         : is_number(p.category()) ? Kind::number
         : p.whitespace()          ? Kind::space
                                   : Kind::other;
}

// The end of the run of `kind` from `at`, of at most `limit` characters.
size_t run(std::string_view text, size_t at, Kind kind, size_t limit = ~size_t{0}) {
  for (; at < text.size() && limit > 0; --limit) {
    size_t next = at;
    if (kind_of(utf8::next(text, next)) != kind) break;
    at = next;
  }
  return at;
}

Kind kind_at(std::string_view text, size_t at) { return kind_of(utf8::peek(text, at)); }

// \s+(?!\S)|\s+ at whitespace: the last character of the run is left to what follows, unless it is
// the only one or nothing follows.
size_t whitespace(std::string_view text, size_t begin) {
  const size_t end = run(text, begin, Kind::space);
  if (end == text.size()) return end;
  size_t last = end;
  utf8::previous(text, last);
  return last > begin ? last : end;
}

// 's|'t|'re|'ve|'m|'ll|'d at an apostrophe; `begin` where none stands there.
size_t contraction(std::string_view text, size_t begin, bool any_case) {
  const auto letter = [&](size_t i) -> char {
    if (begin + i >= text.size()) return 0;
    const char c = text[begin + i];
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  const char a = letter(1), b = letter(2);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return begin + 2;
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return begin + 3;
  // U+017F is an s where case does not count.
  if (any_case && text.substr(begin + 1).starts_with("\xC5\xBF")) return begin + 3;
  return begin;
}

// Every text is covered by matches without gaps.
class Scanner : public Splitter {
 protected:
  bool find(std::string_view text, Cursor& cursor, size_t& begin, size_t& end) const override {
    if (cursor.from == text.size()) return false;
    begin = cursor.from;
    cursor.from = end = scan(text, begin);
    return true;
  }
  virtual size_t scan(std::string_view text, size_t begin) const = 0;
};

constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

class Gpt2 : public Scanner {
  size_t scan(std::string_view text, size_t begin) const override {
    if (text[begin] == '\'')
      if (const size_t end = contraction(text, begin, false); end != begin) return end;
    const size_t word = begin + (text[begin] == ' ');
    if (word < text.size())
      if (const Kind kind = kind_at(text, word); kind != Kind::space) return run(text, word, kind);
    return whitespace(text, begin);
  }
};

constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

class Llama3 : public Scanner {
 public:
  explicit Llama3(size_t digits) : digits_(digits) {}

 private:
  static bool is_newline(char c) { return c == '\n' || c == '\r'; }

  size_t scan(std::string_view text, size_t begin) const override {
    const char lead = text[begin];
    if (lead == '\'')
      if (const size_t end = contraction(text, begin, true); end != begin) return end;
    const Kind kind = kind_at(text, begin);
    if (kind == Kind::letter) return run(text, begin, Kind::letter);
    if (kind == Kind::number) return run(text, begin, Kind::number, digits_);
    const size_t second = begin + utf8::length(lead);
    const bool more = second < text.size();
    if (!is_newline(lead) && more && kind_at(text, second) == Kind::letter)
      return run(text, second, Kind::letter);
    const size_t word = lead == ' ' ? second : begin;
    if (word < text.size() && kind_at(text, word) == Kind::other) {
      size_t end = run(text, word, Kind::other);
      while (end < text.size() && is_newline(text[end])) ++end;
      return end;
    }
    // \s*[\r\n]+ ends with the last line break of the run of whitespace.
    for (size_t end = run(text, begin, Kind::space); end > begin; --end)
      if (is_newline(text[end - 1])) return end;
    return whitespace(text, begin);
  }

  size_t digits_;  // in a group
};

// A string that stands for itself.
class Literal : public Splitter {
 public:
  explicit Literal(std::string text) : literal_(std::move(text)) {}

 private:
  bool find(std::string_view text, Cursor& cursor, size_t& begin, size_t& end) const override {
    begin = text.find(literal_, cursor.from);
    if (begin == text.npos) return false;
    cursor.from = end = begin + literal_.size();
    return true;
  }
  std::string literal_;
};

class Expression : public Splitter {
 public:
  Expression(std::string_view pattern, std::string_view where) : regex_(pattern, where) {}

 private:
  bool find(std::string_view text, Cursor& cursor, size_t& begin, size_t& end) const override {
    while (cursor.from <= text.size() && regex_.find(text, cursor.from, begin, end)) {
      if (begin == end && end == cursor.last_end) {  // an empty match right behind a match is none
        cursor.from += cursor.from < text.size() ? utf8::length(text[cursor.from]) : 1;
        continue;
      }
      cursor.from = cursor.last_end = end;
      return true;
    }
    return false;
  }
  Regex regex_;
};

}  // namespace

std::unique_ptr<Splitter> gpt2_splitter() { return std::make_unique<Gpt2>(); }

std::unique_ptr<Splitter> parse_splitter(const Json& pattern, std::string_view where) {
  if (const Json* literal = pattern.find("String")) {
    if (literal->as_string().empty()) return std::make_unique<Expression>("", where);
    return std::make_unique<Literal>(literal->as_string());
  }
  const std::string& text = pattern.at("Regex").as_string();
  if (text == kGpt2) return gpt2_splitter();
  if (text == kLlama3) return std::make_unique<Llama3>(3);
  if (text == kQwen2) return std::make_unique<Llama3>(1);
  return std::make_unique<Expression>(text, where);
}

}  // namespace stemma
