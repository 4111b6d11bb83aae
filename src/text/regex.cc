// The matcher: runs the program at one position after another, with a stack of its own for what to
// try next, so that no text can exhaust the machine's.
#include "text/regex.h"

#include "base/error.h"
#include "text/utf8.h"

namespace stemma {

bool CharSet::compute(char32_t c) const {
  const auto p = unicode::properties(c);
  bool in = (categories >> static_cast<int>(p.category()) & 1) || (han && p.han_script());
  for (size_t i = 0; !in && i < ranges.size(); ++i)
    in = ranges[i].first <= c && c <= ranges[i].second;
  for (size_t i = 0; !in && i < also.size(); ++i) in = also[i].compute(c);
  for (size_t i = 0; in && i < within.size(); ++i) in = within[i].compute(c);
  return in != negate;
}

void CharSet::freeze() {
  for (char32_t c = 0; c < 128; ++c) ascii_[c] = compute(c);
}

namespace {

constexpr size_t kNone = ~size_t{0};
constexpr int64_t kMaxBacktracks = 10'000'000;  // in one attempt; the reference gives up there, too

bool is_word(char32_t c) {
  static const RegexProgram word = compile_regex("\\w", "regex");
  return word.sets[0].contains(c);
}

class Matcher {
 public:
  Matcher(const RegexProgram& program, std::string_view pattern, std::string_view text)
      : program_(program), pattern_(pattern), text_(text), marks_(program.marks) {}

  // The end of the match at `at`, or kNone.
  size_t match(size_t at) {
    backtracks_ = 0;
    stack_.clear();
    return run(0, at);
  }

 private:
  struct Frame {
    enum Kind : uint8_t { kGo, kShorter, kLonger, kMark } kind;
    int32_t op;    // where to go on; the run itself for kShorter, kLonger; the slot for kMark
    size_t at;     // position; old value for kMark
    size_t least;  // kShorter: the run may not end before this
    int32_t left;  // kLonger: how many characters more, -1 for any number
  };

  // Runs from `op` at `at` until kMatch. Leaves the stack as it was.
  size_t run(int32_t op, size_t at) {
    const size_t base = stack_.size();
    while (step(op, at) || resume(base, op, at)) {
      if (op >= 0) continue;
      unwind(base);
      return at;
    }
    return kNone;
  }

  // Drops what is above `base`: a finished body is not entered again.
  void unwind(size_t base) { stack_.resize(base); }

  // Takes up the last alternative; false if there is none above `base`.
  bool resume(size_t base, int32_t& op, size_t& at) {
    while (stack_.size() > base) {
      Frame& frame = stack_.back();
      if (frame.kind == Frame::kMark) {
        marks_[frame.op] = frame.at;
        stack_.pop_back();
        continue;
      }
      check(++backtracks_ <= kMaxBacktracks, "[regex] the pattern '", pattern_,
            "' backtracks more than ", kMaxBacktracks, " times at one place of the text");
      if (frame.kind == Frame::kShorter) {
        if (frame.at == frame.least) {
          stack_.pop_back();
          continue;
        }
        utf8::previous(text_, frame.at);
        op = frame.op + 1;
        at = frame.at;
        return true;
      }
      if (frame.kind == Frame::kLonger) {
        const CharSet& set = program_.sets[program_.ops[frame.op].x];
        size_t next = frame.at;
        if (frame.left == 0 || next == text_.size() || !set.contains(utf8::next(text_, next))) {
          stack_.pop_back();
          continue;
        }
        frame.left -= frame.left > 0;
        frame.at = next;
        op = frame.op + 1;
        at = next;
        return true;
      }
      op = frame.op;
      at = frame.at;
      stack_.pop_back();
      return true;
    }
    return false;
  }

  // Executes ops until one fails (false) or the program ends (true, op < 0).
  bool step(int32_t& op, size_t& at) {
    for (;;) {
      const RegexOp& o = program_.ops[op];
      switch (o.code) {
        case RegexOp::kMatch:
          op = -1;
          return true;
        case RegexOp::kSet:
          if (at == text_.size() || !program_.sets[o.x].contains(utf8::next(text_, at)))
            return false;
          ++op;
          break;
        case RegexOp::kRun:
          if (!run_of(o, op, at)) return false;
          ++op;
          break;
        case RegexOp::kSplit:
          stack_.push_back({Frame::kGo, o.y, at, 0, 0});
          op = o.x;
          break;
        case RegexOp::kJump:
          op = o.x;
          break;
        case RegexOp::kMark:
          stack_.push_back({Frame::kMark, o.x, marks_[o.x], 0, 0});
          marks_[o.x] = at;
          ++op;
          break;
        case RegexOp::kProgress:
          op = marks_[o.x] == at ? o.y : op + 1;
          break;
        case RegexOp::kLook:
          if ((run(op + 1, at) != kNone) == o.negate) return false;
          op = o.x;
          break;
        case RegexOp::kLookBehind:
          if (look_behind(op, at, o.min) == o.negate) return false;
          op = o.x;
          break;
        case RegexOp::kAtomic:
          if (const size_t end = run(op + 1, at); end != kNone)
            at = end;
          else
            return false;
          op = o.x;
          break;
        default:
          if (anchored(o.code, at) == o.negate) return false;
          ++op;
      }
    }
  }

  bool run_of(const RegexOp& o, int32_t op, size_t& at) {
    const CharSet& set = program_.sets[o.x];
    const int32_t eager = o.mode == RegexOp::kLazy ? o.min : o.max;  // -1: as many as there are
    size_t least = o.min == 0 ? at : kNone;
    for (int32_t n = 0; n != eager && at < text_.size();) {
      size_t next = at;
      if (!set.contains(utf8::next(text_, next))) break;
      at = next;
      if (++n == o.min) least = at;
    }
    if (least == kNone) return false;
    if (o.mode == RegexOp::kGreedy && at > least)
      stack_.push_back({Frame::kShorter, op, at, least, 0});
    if (o.mode == RegexOp::kLazy && o.max != o.min)
      stack_.push_back({Frame::kLonger, op, at, 0, o.max < 0 ? -1 : o.max - o.min});
    return true;
  }

  bool look_behind(int32_t op, size_t at, int32_t characters) {
    for (; characters > 0; --characters) {
      if (at == 0) return false;
      utf8::previous(text_, at);
    }
    return run(op + 1, at) != kNone;
  }

  bool anchored(RegexOp::Code code, size_t at) const {
    const bool start = at == 0, end = at == text_.size();
    switch (code) {
      case RegexOp::kTextStart:
        return start;
      case RegexOp::kTextEnd:
        return end;
      case RegexOp::kTextEndBeforeBreak:
        return end || (at + 1 == text_.size() && text_[at] == '\n');
      case RegexOp::kLineStart:  // not behind a break that ends the text
        return start || (text_[at - 1] == '\n' && !end);
      case RegexOp::kLineEnd:
        return end || text_[at] == '\n';
      default: {  // kWordBoundary
        size_t before = at;
        const bool left = !start && is_word(utf8::previous(text_, before));
        const bool right = !end && is_word(utf8::peek(text_, at));
        return left != right;
      }
    }
  }

  const RegexProgram& program_;
  std::string_view pattern_, text_;
  std::vector<size_t> marks_;
  std::vector<Frame> stack_;
  int64_t backtracks_ = 0;
};

}  // namespace

Regex::Regex(std::string_view pattern, std::string_view where)
    : pattern_(pattern), program_(compile_regex(pattern, where)) {}

bool Regex::find(std::string_view text, size_t from, size_t& begin, size_t& end) const {
  Matcher matcher(program_, pattern_, text);
  for (begin = from;; begin += utf8::length(text[begin])) {
    end = matcher.match(begin);
    if (end != kNone) return true;
    if (begin >= text.size()) return false;
  }
}

}  // namespace stemma
