// JSON read from left to right, without making a Json of it: for large tables that go elsewhere.
//   JsonScanner in(text, "file.json");
//   in.object([&](std::string_view key) { if (key == "n") n = in.value().as_int(); else in.value();
//   }); in.finish();
// Errors: Code::kFailed, opened by [where:line:column], for malformed text and for a value of
// another kind than asked for. What is strict is what Json::parse() says.
// Thread safety: none.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace stemma {

class JsonScanner {
 public:
  // Both texts must outlive the scanner.
  JsonScanner(std::string_view text, std::string_view where, const JsonLimits& limits = {});

  // Of the value that comes next.
  Json::Kind kind();

  // Each takes the next value. Views of strings hold until the next string is read.
  void null() {
    skip_space();
    literal("null");
  }
  bool boolean();
  std::string_view number();  // its text
  std::string_view string();
  Json value();
  // Calls item() for each item, which must take one value.
  template <class Item>
  void array(Item item);
  // Calls member(key) for each member; it must take the member's value.
  template <class Member>
  void object(Member member);

  void finish();  // nothing may follow

  const char* position() const { return p_; }  // what is read next
  // Fails, at a place of the text; as a rule at the one that is read next.
  template <class... Args>
  [[noreturn]] void error_at(const char* at, const Args&... args) const {
    const auto [line, column] = place(at);
    fail(Code::kFailed, "[", where_, ":", line, ":", column, "] ", args...);
  }
  template <class... Args>
  [[noreturn]] void error(const Args&... args) const {
    error_at(p_, args...);
  }
  const JsonLimits& limits() const { return limits_; }

 private:
  std::pair<int64_t, int64_t> place(const char* at) const;
  std::string found() const;

  void skip_space() {
    while (p_ != end_ && (*p_ == ' ' || *p_ == '\n' || *p_ == '\r' || *p_ == '\t')) ++p_;
  }
  bool take(char c) {
    if (p_ == end_ || *p_ != c) return false;
    ++p_;
    return true;
  }
  void open(char c, std::string_view what);
  void literal(std::string_view word);
  void scan_run(const char* opening);
  void escape();
  uint32_t hex4();

  const char *begin_, *p_, *end_;
  std::string_view where_;
  JsonLimits limits_;
  int depth_ = 0;
  std::string unescaped_;  // the last string, where it had escapes
};

template <class Item>
void JsonScanner::array(Item item) {
  open('[', "an array");
  if (!take(']')) {
    while (true) {
      item();
      skip_space();
      if (take(',')) continue;
      if (take(']')) break;
      error("expected ',' or ']' in an array, found ", found());
    }
  }
  --depth_;
}

template <class Member>
void JsonScanner::object(Member member) {
  open('{', "an object");
  if (!take('}')) {
    while (true) {
      skip_space();
      if (p_ == end_ || *p_ != '"') error("expected a key in quotes, found ", found());
      const std::string_view key = string();
      skip_space();
      if (!take(':')) error("expected ':' after a key, found ", found());
      member(key);
      skip_space();
      if (take(',')) continue;
      if (take('}')) break;
      error("expected ',' or '}' in an object, found ", found());
    }
  }
  --depth_;
}

}  // namespace stemma
