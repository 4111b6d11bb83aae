// Regular expressions as the split patterns of tokenizer.json use them: Oniguruma's syntax and
// meaning (leftmost, alternatives in order, backtracking), Unicode 16 properties, over code points.
// Built: literals, escapes, ., classes (ranges, negation, nesting, &&), \s \d \w \h, \p{category},
// \p{Han}, groups, alternation, greedy, lazy and possessive repeats, atomic groups, lookahead and
// fixed-width lookbehind, ^ $ \A \z \Z \b \B, (?i:...) over ASCII letters.
// Errors: Code::kUnsupported for what is outside that; Code::kFailed for a malformed pattern, and
// from find() where a text makes the pattern backtrack without bounds.
// Thread safety: a const Regex may be used from many threads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/unicode.h"

namespace stemma {

// A set of characters: the union of its parts, cut with `within`, then negated if so.
class CharSet {
 public:
  bool negate = false;
  uint32_t categories = 0;  // bit i: category i
  bool han = false;
  std::vector<std::pair<char32_t, char32_t>> ranges;  // both ends included
  std::vector<CharSet> also;                          // more parts of the union
  std::vector<CharSet> within;                        // the intersection is with all of these

  bool contains(char32_t c) const { return c < 128 ? ascii_[c] : compute(c); }
  void freeze();  // call once it is complete; contains() needs it

 private:
  bool compute(char32_t c) const;
  bool ascii_[128] = {};
};

// One step of the compiled pattern. Bodies of lookarounds and atomic groups stand behind their
// instruction, end with kMatch, and are run on their own.
struct RegexOp {
  enum Code : uint8_t {
    kMatch,
    kSet,         // one character of set x
    kRun,         // min to max characters of set x, as `mode` says
    kSplit,       // go on at x; failing that, at y
    kJump,        // go on at x
    kMark,        // remember the position in slot x
    kProgress,    // go on at y if nothing was read since slot x was marked
    kLook,        // the body matches here (or not, if negate); go on at x
    kLookBehind,  // the same, `min` characters back
    kAtomic,      // match the body once and for all; go on at x
    kLineStart,
    kLineEnd,
    kTextStart,
    kTextEnd,
    kTextEndBeforeBreak,
    kWordBoundary,
  };
  enum Mode : uint8_t { kGreedy, kLazy, kPossessive };
  Code code;
  Mode mode = kGreedy;
  bool negate = false;
  int32_t x = 0, y = 0, min = 0, max = 0;
};

struct RegexProgram {
  std::vector<RegexOp> ops;
  std::vector<CharSet> sets;
  int marks = 0;
};

RegexProgram compile_regex(std::string_view pattern, std::string_view where);

class Regex {
 public:
  // `where` opens error messages.
  explicit Regex(std::string_view pattern, std::string_view where = "regex");

  // The leftmost match that begins at or after `from`, in valid UTF-8.
  bool find(std::string_view text, size_t from, size_t& begin, size_t& end) const;

 private:
  std::string pattern_;
  RegexProgram program_;
};

}  // namespace stemma
