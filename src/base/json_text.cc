// The text side of Json: reader and writer.
// The reader is a recursive descent over RFC 8259 that gathers children on shared stacks, so that
// each container is allocated once at its final size.
#include <array>
#include <filesystem>
#include <iterator>
#include <utility>

#include "base/file.h"
#include "base/json.h"

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

class JsonReader {
 public:
  JsonReader(std::string_view text, std::string_view where, const JsonLimits& limits)
      : begin_(text.data()),
        p_(begin_),
        end_(begin_ + text.size()),
        where_(where),
        limits_(limits) {
    if (text.size() > limits.bytes)
      error(begin_, "the text has ", text.size(), " bytes, the limit is ", limits.bytes);
  }

  Json document() {
    if (std::string_view(begin_, end_).starts_with("\xEF\xBB\xBF"))
      error(p_, "the text opens with a byte order mark; JSON has none");
    Json json = value(0);
    skip_space();
    if (p_ != end_) error(p_, "expected the end of the text, found ", found());
    return json;
  }

 private:
  template <class... Args>
  [[noreturn]] void error(const char* at, const Args&... args) const {
    int64_t line = 1, column = 1;
    for (const char* c = begin_; c < at; ++c) {
      if (*c == '\n')
        ++line, column = 1;
      else if ((static_cast<unsigned char>(*c) & 0xC0) != 0x80)
        ++column;
    }
    fail(Code::kFailed, "[", where_, ":", line, ":", column, "] ", args...);
  }

  std::string found() const {
    if (p_ == end_) return "the end of the text";
    const unsigned char c = static_cast<unsigned char>(*p_);
    if (c > 0x20 && c < 0x7F) return cat("'", *p_, "'");
    return cat("byte ", static_cast<int>(c));
  }

  void skip_space() {
    while (p_ != end_ && (*p_ == ' ' || *p_ == '\n' || *p_ == '\r' || *p_ == '\t')) ++p_;
  }

  bool take(char c) {
    if (p_ == end_ || *p_ != c) return false;
    ++p_;
    return true;
  }

  Json value(int depth) {
    skip_space();
    if (p_ == end_) error(p_, "expected a value, found the end of the text");
    switch (*p_) {
      case '{':
        return object(depth + 1);
      case '[':
        return array(depth + 1);
      case '"':
        return Json(string());
      case 't':
        return literal("true", Json(true));
      case 'f':
        return literal("false", Json(false));
      case 'n':
        return literal("null", Json());
      default:
        return number();
    }
  }

  Json literal(std::string_view word, Json json) {
    if (!std::string_view(p_, end_).starts_with(word))
      error(p_, "expected a value, found ", found(), " (not '", word, "')");
    p_ += word.size();
    return json;
  }

  void enter(int depth) const {
    if (depth > limits_.depth) error(p_, "nested deeper than ", limits_.depth, " levels");
  }

  // Children are gathered on a stack shared by all levels, so that a container is allocated once.
  Json array(int depth) {
    enter(depth);
    ++p_;
    const size_t base = items_.size();
    skip_space();
    if (!take(']')) {
      while (true) {
        items_.push_back(value(depth));
        skip_space();
        if (take(',')) continue;
        if (take(']')) break;
        error(p_, "expected ',' or ']' in an array, found ", found());
      }
    }
    const auto first = items_.begin() + static_cast<ptrdiff_t>(base);
    Json json = Json::array({std::move_iterator(first), std::move_iterator(items_.end())});
    items_.erase(first, items_.end());
    return json;
  }

  Json object(int depth) {
    enter(depth);
    ++p_;
    const size_t base = members_.size();
    skip_space();
    if (!take('}')) {
      while (true) {
        skip_space();
        if (p_ == end_ || *p_ != '"') error(p_, "expected a key in quotes, found ", found());
        std::string key = string();
        skip_space();
        if (!take(':')) error(p_, "expected ':' after a key, found ", found());
        Json child = value(depth);
        members_.emplace_back(std::move(key), std::move(child));
        skip_space();
        if (take(',')) continue;
        if (take('}')) break;
        error(p_, "expected ',' or '}' in an object, found ", found());
      }
    }
    Json json;
    Json::Object& object = json.value_.emplace<Json::Object>();
    object.members.reserve(members_.size() - base);
    for (size_t i = base; i < members_.size(); ++i) {
      auto& [key, child] = members_[i];
      Json* earlier = object.find(key);
      if (earlier && limits_.refuse_duplicate_keys)
        error(p_ - 1, "the object that ends here has the key \"", key, "\" twice");
      if (earlier)
        *earlier = std::move(child);
      else
        object.append(std::move(key), std::move(child));
    }
    members_.resize(base);
    return json;
  }

  std::string string() {
    const char* opening = p_++;
    std::string out;
    while (true) {
      const char* run = p_;
      scan_run(opening);
      if (*p_ == '"') {
        if (out.empty())
          out.assign(run, p_++);
        else
          out.append(run, p_++);
        return out;
      }
      out.append(run, p_++);
      escape(out);
    }
  }

  // Moves to the quote or backslash that ends the run, checking what is passed.
  void scan_run(const char* opening) {
    while (true) {
      while (p_ != end_ && !kEndsRun[static_cast<unsigned char>(*p_)]) ++p_;
      if (p_ == end_) error(opening, "a string that opens here never ends");
      if (*p_ == '"' || *p_ == '\\') return;
      if (static_cast<unsigned char>(*p_) < 0x20)
        error(p_, "control character ", found(), " in a string; write it as an escape");
      const int length = utf8_length(p_, end_);
      if (length == 0) error(p_, "invalid UTF-8 (", found(), ") in a string");
      p_ += length;
    }
  }

  // p_ is behind a backslash.
  void escape(std::string& out) {
    if (p_ == end_) error(p_, "the text ends inside an escape");
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
        error(p_, "unknown escape: backslash and ", found());
    }
    const char* at = p_ - 2;
    uint32_t c = hex4();
    if (c >= 0xDC00 && c <= 0xDFFF) error(at, "a low surrogate without a high one before it");
    if (c >= 0xD800 && c <= 0xDBFF) {
      if (!std::string_view(p_, end_).starts_with("\\u"))
        error(at, "a high surrogate without a low one behind it");
      p_ += 2;
      const uint32_t low = hex4();
      if (low < 0xDC00 || low > 0xDFFF) error(at, "a high surrogate without a low one behind it");
      c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    append_utf8(out, c);
  }

  uint32_t hex4() {
    uint32_t c = 0;
    for (int i = 0; i < 4; ++i, ++p_) {
      if (p_ == end_) error(p_, "the text ends inside an escape");
      const char d = *p_;
      if (d >= '0' && d <= '9')
        c = c * 16 + static_cast<uint32_t>(d - '0');
      else if ((d | 0x20) >= 'a' && (d | 0x20) <= 'f')
        c = c * 16 + static_cast<uint32_t>((d | 0x20) - 'a' + 10);
      else
        error(p_, "expected four hexadecimal digits, found ", found());
    }
    return c;
  }

  Json number() {
    const char* start = p_;
    const auto digits = [&] {
      if (p_ == end_ || *p_ < '0' || *p_ > '9')
        error(p_, "expected a ", p_ == start ? "value" : "digit", ", found ", found());
      while (p_ != end_ && *p_ >= '0' && *p_ <= '9') ++p_;
    };
    take('-');
    if (!take('0'))
      digits();
    else if (p_ != end_ && *p_ >= '0' && *p_ <= '9')
      error(start, "a number with a leading zero");
    if (take('.')) digits();
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      digits();
    }
    Json json;
    json.value_.emplace<Json::Number>(Json::Number{std::string(start, p_)});
    return json;
  }

  const char *begin_, *p_, *end_;
  std::string_view where_;
  const JsonLimits& limits_;
  std::vector<Json> items_;
  std::vector<Json::Member> members_;
};

Json Json::parse(std::string_view text, std::string_view where, const JsonLimits& limits) {
  return JsonReader(text, where, limits).document();
}

Json Json::parse_file(const std::filesystem::path& path, const JsonLimits& limits) {
  return parse(read_file(path, limits.bytes), path.string(), limits);
}

class JsonWriter {
 public:
  explicit JsonWriter(int indent) : indent_(indent) {}

  void value(const Json& json, int level) {
    switch (json.kind()) {
      case Json::Kind::null:
        text += "null";
        break;
      case Json::Kind::boolean:
        text += json.as_bool() ? "true" : "false";
        break;
      case Json::Kind::number:
        text += json.number_text();
        break;
      case Json::Kind::string:
        quoted(json.as_string());
        break;
      case Json::Kind::array:
        children('[', ']', json.items(), level, [&](const Json& item) { value(item, level + 1); });
        break;
      case Json::Kind::object:
        children('{', '}', json.members(), level, [&](const Json::Member& member) {
          quoted(member.first);
          text += ": ";
          value(member.second, level + 1);
        });
    }
  }

  std::string text;

 private:
  template <class Children, class Write>
  void children(char open, char close, const Children& all, int level, Write write) {
    text += open;
    for (size_t i = 0; i < all.size(); ++i) {
      if (i > 0) text += indent_ < 0 ? ", " : ",";
      new_line(level + 1);
      write(all[i]);
    }
    if (!all.empty()) new_line(level);
    text += close;
  }

  void new_line(int level) {
    if (indent_ >= 0) text.append(1, '\n').append(static_cast<size_t>(indent_ * level), ' ');
  }

  void quoted(std::string_view s) {
    constexpr char kHex[] = "0123456789abcdef";
    text += '"';
    for (const char c : s) {
      const unsigned char byte = static_cast<unsigned char>(c);
      constexpr std::string_view kPlain = "\"\\\b\f\n\r\t", kLetter = "\"\\bfnrt";
      if (const size_t i = kPlain.find(c); i != std::string_view::npos)
        text.append(1, '\\') += kLetter[i];
      else if (byte < 0x20)
        text.append("\\u00").append(1, kHex[byte >> 4]) += kHex[byte & 15];
      else
        text += c;
    }
    text += '"';
  }

  int indent_;
};

std::string Json::dump(int indent) const {
  JsonWriter writer(indent);
  writer.value(*this, 0);
  return std::move(writer.text);
}

}  // namespace stemma
