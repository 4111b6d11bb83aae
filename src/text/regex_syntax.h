// The tree of a parsed regular expression, between parser and compiler.
#pragma once

#include <string_view>
#include <vector>

#include "text/regex.h"

namespace stemma {

struct RegexNode {
  enum Kind { kEmpty, kSet, kSequence, kChoice, kRepeat, kLook, kBehind, kAtomic, kAnchor };
  static constexpr int kUnbounded = -1;

  Kind kind = kEmpty;
  CharSet set;
  std::vector<RegexNode> parts;
  int min = 0, max = 0;  // of kRepeat; min of kBehind: how many characters back
  RegexOp::Mode mode = RegexOp::kGreedy;
  bool negate = false;
  RegexOp::Code anchor = RegexOp::kMatch;
  char literal = 0;  // the ASCII letter that a set under (?i) stands for, in lower case
};

// Throws as Regex does; `where` opens the messages.
RegexNode parse_regex(std::string_view pattern, std::string_view where);

}  // namespace stemma
