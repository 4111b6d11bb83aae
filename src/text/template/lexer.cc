#include "text/template/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "text/utf8.h"

namespace stemma::jinja {
namespace {

constexpr size_t kMaxSource = size_t{1} << 24;

// Longest first.
constexpr std::array<std::string_view, 26> kOperators = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

class Lexer {
 public:
  Lexer(std::string_view source, std::string_view where) : where_(where) {
    if (source.size() > kMaxSource) fail_at(where, {}, "the template is longer than 16 MiB");
    if (utf8::first_invalid(source) != source.size())
      fail_at(where, {}, "the template is not UTF-8");
    const Text raw = decode(source);
    for (size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] == '\r' && i + 1 < raw.size() && raw[i + 1] == '\n') continue;
      source_ += raw[i] == '\r' ? U'\n' : raw[i];
    }
    if (!source_.empty() && source_.back() == '\n') source_.pop_back();
  }

  std::vector<Token> run() {
    while (at_ < source_.size()) text();
    add(Token::Kind::end);
    return std::move(tokens_);
  }

 private:
  bool sees(std::string_view ascii) const { return sees(at_, ascii); }
  bool sees(size_t at, std::string_view ascii) const {
    return source_.size() - at >= ascii.size() &&
           equal(TextView(source_).substr(at, ascii.size()), ascii);
  }

  // Tokens come in order, so positions are counted forward only.
  Position position(size_t at) {
    for (; counted_ < at; ++counted_) {
      ++place_.column;
      if (source_[counted_] == '\n') place_ = {place_.line + 1, 1};
    }
    return place_;
  }
  [[noreturn]] void fail_here(size_t at, std::string_view message) {
    fail_at(where_, position(at), message);
  }
  Token& add(Token::Kind kind) { return add(kind, at_); }
  Token& add(Token::Kind kind, size_t at) {
    Token& token = tokens_.emplace_back();
    token.kind = kind;
    token.position = position(at);
    return token;
  }

  void add_data(size_t begin, size_t end) {
    if (begin < end) add(Token::Kind::data, begin).text = source_.substr(begin, end - begin);
  }

  // End of the data before a tag at `tag` with this strip sign.
  size_t data_end(size_t begin, size_t tag, char32_t sign, bool lstrip) const {
    size_t end = tag;
    if (sign == '-') {
      while (end > begin && is_space(source_[end - 1])) --end;
    } else if (sign != '+' && lstrip) {
      size_t line = tag;
      while (line > begin && source_[line - 1] != '\n' && is_space(source_[line - 1])) --line;
      const bool at_line_start = line > begin ? source_[line - 1] == '\n' : line_starting_;
      if (at_line_start) end = line;
    }
    return end;
  }

  void skip_space() {
    while (at_ < source_.size() && is_space(source_[at_])) ++at_;
  }
  // Moves behind a tag's end at at_ (`+%}`, `-%}` or `%}`); false if none is there.
  bool take_end(std::string_view end, bool trims, bool plus) {
    if (plus && sees("+") && sees(at_ + 1, end)) {
      at_ += 3;
    } else if (sees("-") && sees(at_ + 1, end)) {
      at_ += 3;
      skip_space();
    } else if (sees(end)) {
      at_ += 2;
      if (trims && sees("\n")) ++at_;
    } else {
      return false;
    }
    line_starting_ = source_[at_ - 1] == '\n';
    return true;
  }

  // Data as far as the next tag, and the tag.
  void text() {
    const size_t begin = at_;
    size_t tag = begin;
    while (tag < source_.size() && !sees(tag, "{%") && !sees(tag, "{{") && !sees(tag, "{#")) ++tag;
    if (tag == source_.size()) {
      add_data(begin, tag);
      at_ = tag;
      return;
    }
    const char32_t kind = source_[tag + 1];
    const char32_t sign = tag + 2 < source_.size() ? source_[tag + 2] : 0;
    add_data(begin, data_end(begin, tag, sign, kind != '{'));
    at_ = tag + 2 + (sign == '-' || sign == '+');
    line_starting_ = false;
    if (kind == '#') return comment(tag);
    if (kind == '%') {
      const size_t inside = at_;
      if (take_raw_word("raw") && take_end("%}", false, false)) return raw(tag);
      at_ = inside;
      add(Token::Kind::block_begin, tag);
      return expression("%}", Token::Kind::block_end, tag);
    }
    add(Token::Kind::variable_begin, tag);
    expression("}}", Token::Kind::variable_end, tag);
  }

  void comment(size_t tag) {
    for (; at_ < source_.size(); ++at_)
      if (take_end("#}", true, true)) return;
    fail_here(tag, "missing end of comment tag");
  }

  bool take_raw_word(std::string_view word) {
    skip_space();
    if (!sees(word)) return false;
    at_ += word.size();
    skip_space();
    return true;
  }

  void raw(size_t tag) {
    const size_t begin = at_;
    const bool starting = line_starting_;
    for (size_t end = begin; end < source_.size(); ++end) {
      if (!sees(end, "{%")) continue;
      const char32_t sign = end + 2 < source_.size() ? source_[end + 2] : 0;
      at_ = end + 2 + (sign == '-' || sign == '+');
      if (!take_raw_word("endraw") || !take_end("%}", true, true)) continue;
      const bool after = std::exchange(line_starting_, starting);
      add_data(begin, data_end(begin, end, sign, true));
      line_starting_ = after;
      return;
    }
    fail_here(tag, "missing end of raw directive");
  }

  // The inside of a tag, and its end.
  void expression(std::string_view end, Token::Kind end_kind, size_t tag) {
    std::string open;  // brackets that wait to be closed
    for (;;) {
      skip_space();
      if (at_ >= source_.size()) fail_here(tag, "this tag is not closed");
      const size_t begin = at_;
      if (open.empty() && take_end(end, end == "%}", end == "%}")) {
        add(end_kind, begin);
        return;
      }
      const char32_t c = source_[at_];
      if (c == '\'' || c == '"')
        string();
      else if (c >= '0' && c <= '9')
        number();
      else if (is_name(c))
        name();
      else
        op(open);
    }
  }

  static bool is_name(char32_t c) {
    return c == '_' ||
           (c < 0x80 ? (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
                     : is_alphabetic(c) || is_numeric(c));
  }

  void name() {
    const size_t begin = at_;
    while (at_ < source_.size() && is_name(source_[at_])) ++at_;
    add(Token::Kind::name, begin).name = encode(TextView(source_).substr(begin, at_ - begin));
  }

  void op(std::string& open) {
    for (std::string_view text : kOperators) {
      if (!sees(text)) continue;
      if (text == "(" || text == "[" || text == "{") {
        open += text == "(" ? ')' : text == "[" ? ']' : '}';
      } else if (text == ")" || text == "]" || text == "}") {
        if (open.empty()) fail_here(at_, cat("unexpected '", text, "'"));
        if (open.back() != text[0])
          fail_here(at_, cat("unexpected '", text, "', expected '", open.back(), "'"));
        open.pop_back();
      }
      add(Token::Kind::op).name = text;
      at_ += text.size();
      return;
    }
    fail_here(at_, cat("unexpected character '", encode(Text(1, source_[at_])), "'"));
  }

  // Digits with single underscores between them; nothing where there is no digit.
  static bool is_digit(char32_t c, int base) {
    const int value = c >= '0' && c <= '9'   ? static_cast<int>(c - '0')
                      : c >= 'a' && c <= 'f' ? static_cast<int>(c - 'a') + 10
                      : c >= 'A' && c <= 'F' ? static_cast<int>(c - 'A') + 10
                                             : 99;
    return value < base;
  }
  size_t digits(size_t at, int base) const {
    if (at >= source_.size() || !is_digit(source_[at], base)) return at;
    for (++at; at < source_.size(); ++at) {
      if (is_digit(source_[at], base)) continue;
      if (source_[at] != '_' || at + 1 >= source_.size() || !is_digit(source_[at + 1], base)) break;
    }
    return at;
  }
  size_t float_end() const {
    if (at_ > 0 && source_[at_ - 1] == '.') return at_;
    const size_t whole = digits(at_, 10);
    size_t end = at_;
    size_t at = whole;
    if (sees(at, ".") && digits(at + 1, 10) > at + 1) end = at = digits(at + 1, 10);
    if (sees(at, "e") || sees(at, "E")) {
      const size_t exponent = at + 1 + (sees(at + 1, "+") || sees(at + 1, "-"));
      if (digits(exponent, 10) > exponent) end = digits(exponent, 10);
    }
    return end;
  }

  void number() {
    const size_t begin = at_;
    const auto text_to = [&](size_t from, size_t end) {
      std::string text;
      for (size_t i = from; i < end; ++i)
        if (source_[i] != '_') text += static_cast<char>(source_[i]);
      return text;
    };
    if (const size_t end = float_end(); end > begin) {
      at_ = end;
      const std::string text = text_to(begin, end);
      double value = 0;
      const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
      if (result.ec != std::errc()) value = std::strtod(text.c_str(), nullptr);
      add(Token::Kind::real, begin).number = value;
      return;
    }
    int base = 10;
    size_t from = begin;
    if (source_[begin] == '0' && begin + 1 < source_.size()) {
      const char32_t letter = source_[begin + 1] | 0x20;
      const int named = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
      const size_t first = begin + 2 + (named != 10 && sees(begin + 2, "_"));
      if (named != 10 && digits(first, named) > first) {
        base = named;
        from = first;
      }
    }
    at_ = digits(from, base);
    if (base == 10 && source_[begin] == '0')  // 0_0 is a number, 012 is two
      for (at_ = begin + 1; sees("0") || sees("_0");) at_ += sees("0") ? 1 : 2;
    const std::string text = text_to(from, at_);
    int64_t value = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (result.ec != std::errc()) fail_here(begin, "this integer does not fit 64 bits");
    add(Token::Kind::integer, begin).number = value;
  }

  void string() {
    const size_t begin = at_;
    const char32_t quote = source_[at_++];
    Text text;
    for (;;) {
      if (at_ >= source_.size()) fail_here(begin, "this string is not closed");
      const char32_t c = source_[at_++];
      if (c == quote) break;
      if (c != '\\')
        text += c;
      else if (at_ < source_.size())
        escape(text);
    }
    add(Token::Kind::string, begin).text = std::move(text);
  }

  // Python's unicode-escape, behind the backslash.
  void escape(Text& text) {
    const size_t begin = at_ - 1;
    const char32_t c = source_[at_++];
    constexpr std::string_view kLetters = "\\'\"abfnrtv", kMeanings = "\\'\"\a\b\f\n\r\t\v";
    if (c < 0x80 && kLetters.find(static_cast<char>(c)) != std::string_view::npos) {
      text += static_cast<unsigned char>(kMeanings[kLetters.find(static_cast<char>(c))]);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      code(text, begin, c == 'x' ? 2 : c == 'u' ? 4 : 8, 16, true);
    } else if (c >= '0' && c <= '7') {
      --at_;
      code(text, begin, 3, 8, false);
    } else if (c == 'N') {
      fail_here(begin, "characters by name are not supported");
    } else if (c != '\n') {
      text += U'\\';
      text += c;
    }
  }

  void code(Text& text, size_t begin, int digits, int base, bool all) {
    char32_t value = 0;
    int got = 0;
    for (; got < digits && at_ < source_.size() && is_digit(source_[at_], base); ++got, ++at_) {
      const char32_t d = source_[at_];
      value = value * static_cast<char32_t>(base) + (d <= '9' ? d - '0' : (d | 0x20) - 'a' + 10);
    }
    if (all && got < digits) fail_here(begin, "truncated escape in a string");
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
      fail_here(begin, "this escape is not a character");
    text += value;
  }

  std::string_view where_;
  Text source_;
  size_t at_ = 0;
  bool line_starting_ = true;  // what stands before at_ ended in a newline
  std::vector<Token> tokens_;
  size_t counted_ = 0;
  Position place_;
};

}  // namespace

void fail_at(std::string_view where, Position position, std::string_view message) {
  fail(Code::kFailed, "[", where, ":", position.line, ":", position.column, "] ", message);
}

std::string describe(const Token& token) {
  switch (token.kind) {
    case Token::Kind::data:
      return "template text";
    case Token::Kind::variable_begin:
      return "'{{'";
    case Token::Kind::variable_end:
      return "'}}'";
    case Token::Kind::block_begin:
      return "'{%'";
    case Token::Kind::block_end:
      return "'%}'";
    case Token::Kind::name:
    case Token::Kind::op:
      return cat("'", token.name, "'");
    case Token::Kind::string:
      return "a string";
    case Token::Kind::integer:
    case Token::Kind::real:
      return "a number";
    case Token::Kind::end:
      return "the end of the template";
  }
  return {};
}

std::vector<Token> tokenize(std::string_view source, std::string_view where) {
  return Lexer(source, where).run();
}

}  // namespace stemma::jinja
