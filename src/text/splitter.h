// Patterns that cut text: literal strings and regular expressions, as Split and ByteLevel use them.
// The published split expressions have scanners of their own, everything else the regular
// expression matcher (regex.h) runs.
// Thread safety: const objects may be used from many threads.
#pragma once

#include <memory>
#include <string_view>

#include "base/json.h"

namespace stemma {

class Splitter {
 public:
  virtual ~Splitter() = default;

  // Calls on_match(begin, end) for the matches in `text`, from left to right. Empty ones count.
  template <class OnMatch>
  void find_all(std::string_view text, OnMatch on_match) const {
    Cursor cursor;
    size_t begin, end;
    while (find(text, cursor, begin, end)) on_match(begin, end);
  }

 protected:
  struct Cursor {
    size_t from = 0;               // where to search
    size_t last_end = ~size_t{0};  // of the match before, if there was one
  };
  // The next match; false if there is none.
  virtual bool find(std::string_view text, Cursor& cursor, size_t& begin, size_t& end) const = 0;
};

// {"String": "..."} or {"Regex": "..."}. Code::kUnsupported where a regular expression cannot be
// run exactly.
std::unique_ptr<Splitter> parse_splitter(const Json& pattern, std::string_view where);

std::unique_ptr<Splitter> gpt2_splitter();

}  // namespace stemma
