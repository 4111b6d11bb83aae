// Errors: one exception type, thrown by the library for everything a caller can cause or meet.
// A message says what was wrong, where, and what would be right, and opens with its place:
// "[rope] rotary width 72 exceeds head size 64 in model.layers.0".
#pragma once

#include <charconv>
#include <concepts>
#include <exception>
#include <string>
#include <string_view>

namespace stemma {

// The numeric values are the exit codes of the command line.
enum class Code { kFailed = 1, kUsage = 2, kNotFound = 3, kUnsupported = 4 };

class Error : public std::exception {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  Code code_;
  std::string message_;
};

namespace internal {
inline void append(std::string& s, std::string_view v) { s += v; }
inline void append(std::string& s, const char* v) { s += v; }
inline void append(std::string& s, char v) { s += v; }
inline void append(std::string& s, bool v) { s += v ? "true" : "false"; }
template <class T>
requires(std::integral<T> || std::floating_point<T>) void append(std::string& s, T v) {
  char buffer[40];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, v).ptr;
  s.append(buffer, end);
}
}  // namespace internal

// Concatenates text and numbers (numbers in their shortest exact form).
template <class... Args>
std::string cat(const Args&... args) {
  std::string s;
  (internal::append(s, args), ...);
  return s;
}

template <class... Args>
[[noreturn]] void fail(Code code, const Args&... args) {
  throw Error(code, cat(args...));
}

// Checks on input: always on. For our own mistakes there is assert().
template <class... Args>
void check(bool ok, const Args&... args) {
  if (!ok) [[unlikely]]
    fail(Code::kFailed, args...);
}

}  // namespace stemma
