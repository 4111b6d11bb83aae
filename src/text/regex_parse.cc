// A recursive descent over the pattern: text in, tree out.
#include <algorithm>
#include <functional>
#include <map>
#include <string>

#include "base/error.h"
#include "text/regex_syntax.h"
#include "text/utf8.h"

namespace stemma {
namespace {

using Node = RegexNode;
using unicode::Category;

constexpr int kMaxRepeat = 1000, kMaxDepth = 200;

constexpr uint32_t bit(Category c) { return 1u << static_cast<int>(c); }
constexpr uint32_t span_of(Category first, Category last) { return (bit(last) << 1) - bit(first); }
constexpr uint32_t kLetters = span_of(Category::Lu, Category::Lo),
                   kMarks = span_of(Category::Mn, Category::Me),
                   kNumbers = span_of(Category::Nd, Category::No),
                   kPunctuation = span_of(Category::Pc, Category::Po),
                   kSymbols = span_of(Category::Sm, Category::So),
                   kSeparators = span_of(Category::Zs, Category::Zp),
                   kOthers = span_of(Category::Cc, Category::Co) | bit(Category::Cn);

// Names of properties are compared without case, spaces, hyphens and underscores.
uint32_t category_mask(std::string_view name) {
  static const std::map<std::string, uint32_t, std::less<>> names = [] {
    constexpr std::string_view kShort[] = {
        "cn", "lu", "ll", "lt", "lm", "lo", "mn", "mc", "me", "nd", "nl", "no", "pc", "pd", "ps",
        "pe", "pi", "pf", "po", "sm", "sc", "sk", "so", "zs", "zl", "zp", "cc", "cf", "cs", "co"};
    constexpr std::string_view kLong[] = {"unassigned",
                                          "uppercaseletter",
                                          "lowercaseletter",
                                          "titlecaseletter",
                                          "modifierletter",
                                          "otherletter",
                                          "nonspacingmark",
                                          "spacingmark",
                                          "enclosingmark",
                                          "decimalnumber",
                                          "letternumber",
                                          "othernumber",
                                          "connectorpunctuation",
                                          "dashpunctuation",
                                          "openpunctuation",
                                          "closepunctuation",
                                          "initialpunctuation",
                                          "finalpunctuation",
                                          "otherpunctuation",
                                          "mathsymbol",
                                          "currencysymbol",
                                          "modifiersymbol",
                                          "othersymbol",
                                          "spaceseparator",
                                          "lineseparator",
                                          "paragraphseparator",
                                          "control",
                                          "format",
                                          "surrogate",
                                          "privateuse"};
    std::map<std::string, uint32_t, std::less<>> m = {
        {"l", kLetters},
        {"letter", kLetters},
        {"m", kMarks},
        {"mark", kMarks},
        {"n", kNumbers},
        {"number", kNumbers},
        {"p", kPunctuation},
        {"punctuation", kPunctuation},
        {"s", kSymbols},
        {"symbol", kSymbols},
        {"z", kSeparators},
        {"separator", kSeparators},
        {"c", kOthers},
        {"other", kOthers},
        {"lc", bit(Category::Lu) | bit(Category::Ll) | bit(Category::Lt)}};
    for (int i = 0; i < 30; ++i) m.emplace(kShort[i], 1u << i), m.emplace(kLong[i], 1u << i);
    return m;
  }();
  const auto found = names.find(name);
  return found == names.end() ? 0 : found->second;
}

CharSet of_categories(uint32_t mask) {
  CharSet set;
  set.categories = mask;
  return set;
}

CharSet of_character(char32_t c) {
  CharSet set;
  set.ranges = {{c, c}};
  return set;
}

CharSet negated(CharSet set) {
  set.negate = !set.negate;
  return set;
}

CharSet whitespace() {
  CharSet set = of_categories(kSeparators);
  set.ranges = {{0x9, 0xD}, {0x85, 0x85}};
  return set;
}

// Oniguruma's \w: letters, marks, decimal and letter numbers, connectors, letters in circles, and
// in Latin-1 the superscripts and fractions.
CharSet word() {
  CharSet set =
      of_categories(kLetters | kMarks | bit(Category::Nd) | bit(Category::Nl) | bit(Category::Pc));
  set.ranges = {{0xB2, 0xB3},       {0xB9, 0xB9},       {0xBC, 0xBE},      {0x24B6, 0x24E9},
                {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};
  return set;
}

CharSet hex_digit() {
  CharSet set;
  set.ranges = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
  return set;
}

Node make(Node::Kind kind) {
  Node node;
  node.kind = kind;
  return node;
}

class Parser {
 public:
  Parser(std::string_view pattern, std::string_view where) : text_(pattern), where_(where) {
    check(utf8::first_invalid(pattern) == pattern.size(), "[", where, "] a pattern is not UTF-8");
  }

  Node parse() {
    Node node = choice();
    if (at_ < text_.size()) malformed("has a ) too many");
    return node;
  }

 private:
  [[noreturn]] void unsupported(std::string_view what) const {
    fail(Code::kUnsupported, "[", where_, "] the pattern '", text_, "' at byte ", at_, ": ", what,
         " is not built");
  }
  [[noreturn]] void malformed(std::string_view what) const {
    fail(Code::kFailed, "[", where_, "] the pattern '", text_, "' ", what, " at byte ", at_);
  }

  bool more() const { return at_ < text_.size(); }
  bool looking_at(std::string_view s) const { return text_.substr(at_).starts_with(s); }
  bool take(std::string_view s) {
    if (!looking_at(s)) return false;
    at_ += s.size();
    return true;
  }
  char32_t take_character() {
    if (!more()) malformed("ends too early");
    return utf8::next(text_, at_);
  }

  Node choice() {
    if (++depth_ > kMaxDepth) unsupported("nesting as deep as this");
    Node all = make(Node::kChoice);
    do all.parts.push_back(sequence());
    while (take("|"));
    --depth_;
    return all.parts.size() == 1 ? std::move(all.parts[0]) : all;
  }

  Node sequence() {
    Node all = make(Node::kSequence);
    while (more() && !looking_at("|") && !looking_at(")")) {
      all.parts.push_back(repeat());
      refuse_folded_pair(all.parts);
    }
    return all;
  }

  // Without case, "ss" is also one character (U+00DF), and so are the ligatures.
  void refuse_folded_pair(const std::vector<Node>& parts) const {
    if (parts.size() < 2) return;
    const char a = parts[parts.size() - 2].literal, b = parts.back().literal;
    if ((a == 's' && (b == 's' || b == 't')) || (a == 'f' && (b == 'f' || b == 'i' || b == 'l')))
      unsupported("a pair of letters under (?i:) that also has a single character");
  }

  Node repeat() {
    Node node = atom();
    for (;;) {
      int min, max;
      bool interval = false;
      if (take("*"))
        min = 0, max = Node::kUnbounded;
      else if (take("+"))
        min = 1, max = Node::kUnbounded;
      else if (take("?"))
        min = 0, max = 1;
      else if (looking_at("{") && read_interval(min, max))
        interval = true;
      else
        return node;
      if (node.kind == Node::kLook || node.kind == Node::kBehind || node.kind == Node::kAnchor)
        unsupported("a repeated assertion");
      Node outer = make(Node::kRepeat);
      outer.min = min;
      outer.max = max;
      // {n}? and {n,m}+ repeat the repeat; only * + ? have a possessive form.
      if (interval ? min != max && take("?") : take("?"))
        outer.mode = RegexOp::kLazy;
      else if (!interval && take("+"))
        outer.mode = RegexOp::kPossessive;
      outer.parts.push_back(std::move(node));
      node = std::move(outer);
    }
  }

  // {n} {n,} {n,m} {,m}; anything else is a brace that stands for itself.
  bool read_interval(int& min, int& max) {
    size_t at = at_ + 1;
    const auto number = [&](int& value) {
      const size_t start = at;
      for (value = 0; at < text_.size() && text_[at] >= '0' && text_[at] <= '9'; ++at)
        value = std::min(value * 10 + (text_[at] - '0'), kMaxRepeat + 1);
      return at > start;
    };
    const bool has_min = number(min);
    bool has_max = has_min;
    max = min;
    if (at < text_.size() && text_[at] == ',') {
      ++at;
      if (!(has_max = number(max))) max = Node::kUnbounded;
      if (!has_min && !has_max) return false;
    } else if (!has_min) {
      return false;
    }
    if (at == text_.size() || text_[at] != '}') return false;
    at_ = at + 1;
    if (min > kMaxRepeat || max > kMaxRepeat) unsupported("a repeat count above 1000");
    if (max != Node::kUnbounded && max < min) unsupported("a repeat from more to fewer");
    return true;
  }

  Node atom() {
    if (take("(")) return group();
    if (take("[")) return set_node(fold_class(char_class()));
    if (take(".")) return set_node(negated(of_character('\n')));
    if (take("^")) return anchor(RegexOp::kLineStart);
    if (take("$")) return anchor(RegexOp::kLineEnd);
    if (looking_at("*") || looking_at("+") || looking_at("?")) malformed("repeats nothing");
    if (take("\\")) return escape();
    return literal(take_character());
  }

  static Node set_node(CharSet set) {
    Node node = make(Node::kSet);
    node.set = std::move(set);
    return node;
  }

  static Node anchor(RegexOp::Code code, bool negate = false) {
    Node node = make(Node::kAnchor);
    node.anchor = code;
    node.negate = negate;
    return node;
  }

  Node literal(char32_t c) {
    if (!ignore_case_) return set_node(of_character(c));
    if (c >= 0x80) unsupported("a letter beyond ASCII under (?i:)");
    Node node = set_node(fold_class(of_character(c)));
    const auto lower = static_cast<char>(unicode::lower(c));
    if (lower >= 'a' && lower <= 'z') node.literal = lower;
    return node;
  }

  // Under (?i:), adds the other case of ASCII letters, and the two characters beyond that fold to
  // one: U+017F to s, U+212A to k.
  CharSet fold_class(CharSet set) const {
    if (!ignore_case_) return set;
    if (set.negate || set.categories || set.han || !set.also.empty() || !set.within.empty())
      unsupported("this class under (?i:)");
    CharSet folded = set;
    for (const auto& [first, last] : set.ranges) {
      if (last >= 0x80) unsupported("a class beyond ASCII under (?i:)");
      for (char32_t c = first; c <= last; ++c) {
        const char32_t lower = unicode::lower(c);
        if (lower < 'a' || lower > 'z') continue;
        folded.ranges.insert(folded.ranges.end(), {{lower, lower}, {lower - 32, lower - 32}});
        if (lower == 's') folded.ranges.emplace_back(0x17F, 0x17F);
        if (lower == 'k') folded.ranges.emplace_back(0x212A, 0x212A);
      }
    }
    return folded;
  }

  Node group() {
    Node node;
    const bool outer_case = ignore_case_;
    if (take("?")) {
      if (take(":")) {
        node = choice();
      } else if (take("i:")) {
        ignore_case_ = true;
        node = choice();
      } else if (take("-i:")) {
        ignore_case_ = false;
        node = choice();
      } else if (take("=") || looking_at("!")) {
        node = make(Node::kLook);
        node.negate = take("!");
        node.parts.push_back(choice());
      } else if (take("<=") || looking_at("<!")) {
        node = make(Node::kBehind);
        node.negate = take("<!");
        node.parts.push_back(choice());
        node.min = width(node.parts[0]);
        if (node.min < 0) unsupported("a lookbehind of varying width");
      } else if (take(">")) {
        node = make(Node::kAtomic);
        node.parts.push_back(choice());
      } else {
        unsupported("this kind of group");
      }
    } else {
      node = choice();
    }
    ignore_case_ = outer_case;
    if (!take(")")) malformed("lacks a )");
    node.literal = 0;
    return node;
  }

  // Characters that a node reads, or -1 where that varies.
  static int width(const Node& node) {
    switch (node.kind) {
      case Node::kSet:
        return 1;
      case Node::kSequence: {
        int sum = 0;
        for (const Node& part : node.parts) {
          const int w = width(part);
          if (w < 0) return -1;
          sum += w;
        }
        return sum;
      }
      case Node::kChoice: {
        const int w = width(node.parts[0]);
        for (const Node& part : node.parts)
          if (width(part) != w) return -1;
        return w;
      }
      case Node::kRepeat: {
        const int w = width(node.parts[0]);
        return node.min == node.max && w >= 0 ? w * node.min : -1;
      }
      case Node::kAtomic:
        return width(node.parts[0]);
      default:
        return 0;
    }
  }

  // Behind a backslash, outside a class.
  Node escape() {
    if (take("A")) return anchor(RegexOp::kTextStart);
    if (take("z")) return anchor(RegexOp::kTextEnd);
    if (take("Z")) return anchor(RegexOp::kTextEndBeforeBreak);
    if (take("b")) return anchor(RegexOp::kWordBoundary);
    if (take("B")) return anchor(RegexOp::kWordBoundary, true);
    CharSet set;
    if (class_escape(set)) {
      if (ignore_case_ && (set.categories || set.han || set.negate) && !case_free(set))
        unsupported("this property under (?i:)");
      return set_node(std::move(set));
    }
    return literal(character_escape());
  }

  // Classes that have both cases of whatever they have.
  static bool case_free(const CharSet& set) {
    constexpr uint32_t kCased = bit(Category::Lu) | bit(Category::Ll) | bit(Category::Lt);
    return (set.categories & kCased) == 0 && set.also.empty() && !set.negate;
  }

  // \s \d \w \h and \p, in and outside of classes.
  bool class_escape(CharSet& set) {
    if (!more()) malformed("ends with a backslash");
    const char c = text_[at_];
    switch (c) {
      case 's':
      case 'S':
        set = whitespace();
        break;
      case 'd':
      case 'D':
        set = of_categories(bit(Category::Nd));
        break;
      case 'w':
      case 'W':
        set = word();
        break;
      case 'h':
      case 'H':
        set = hex_digit();
        break;
      case 'p':
      case 'P':
        return ++at_, set = property(c == 'P'), true;
      default:
        return false;
    }
    ++at_;
    if (c >= 'A' && c <= 'Z') set.negate = true;
    return true;
  }

  CharSet property(bool negate) {
    if (!take("{")) unsupported("\\p without braces");
    if (take("^")) negate = !negate;
    std::string name;
    for (char32_t c; (c = take_character()) != '}';)
      if (c != ' ' && c != '_' && c != '-') utf8::append(name, unicode::lower(c));
    CharSet set = of_categories(category_mask(name));
    set.han = name == "han";
    if (set.categories == 0 && !set.han) unsupported(cat("the property ", name));
    set.negate = negate;
    return set;
  }

  char32_t character_escape() {
    const char32_t c = take_character();
    switch (c) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'f':
        return '\f';
      case 'v':
        return '\v';
      case 'a':
        return '\a';
      case 'e':
        return 0x1B;
      case 'u':
        return hex(4, 4);
      case 'x': {
        if (!take("{")) {
          const char32_t value = hex(1, 2);
          if (value >= 0x80) unsupported("a byte of a character as \\x");
          return value;
        }
        const char32_t value = hex(1, 8);
        if (!take("}")) malformed("lacks a }");
        return value;
      }
      default:
        if (c >= 0x80) return c;
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
          unsupported(cat("the escape \\", static_cast<char>(c)));
        return c;
    }
  }

  char32_t hex(int least, int most) {
    uint64_t value = 0;
    int n = 0;
    for (; n < most && more(); ++n, ++at_) {
      const char c = text_[at_];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) break;
      value = value * 16 + digit;
    }
    if (n < least) malformed("has too few hexadecimal digits");
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
      malformed("names no Unicode character");
    return static_cast<char32_t>(value);
  }

  // Behind [, through ].
  CharSet char_class() {
    if (++depth_ > kMaxDepth) unsupported("nesting as deep as this");
    CharSet set;
    const bool negate = take("^");
    bool first = true;
    std::vector<CharSet> operands;  // of &&
    for (; first || !looking_at("]"); first = false) {
      if (!more()) malformed("lacks a ]");
      if (take("&&")) {
        operands.push_back(std::move(set));
        set = CharSet();
        continue;
      }
      if (looking_at("[:")) unsupported("a POSIX bracket");
      if (take("[")) {
        set.also.push_back(char_class());
        continue;
      }
      CharSet part;
      char32_t low, high;
      if (class_item(part, low)) {
        if (starts_range()) unsupported("a range that begins with a class");
        set.also.push_back(std::move(part));
        continue;
      }
      high = low;
      if (starts_range()) {
        ++at_;
        if (looking_at("[") || class_item(part, high))
          unsupported("a range that ends with a class");
        if (high < low) malformed("has a range from higher to lower");
      }
      set.ranges.emplace_back(low, high);
    }
    ++at_;
    --depth_;
    if (!operands.empty()) {
      operands.push_back(std::move(set));
      set = std::move(operands[0]);
      set.within.assign(operands.begin() + 1, operands.end());
    }
    set.negate = negate;
    return set;
  }

  // A hyphen that is not the last of its class.
  bool starts_range() const { return looking_at("-") && !looking_at("-]"); }

  // One element of a class: true for a set, false for the character c.
  bool class_item(CharSet& set, char32_t& c) {
    if (!take("\\")) return c = take_character(), false;
    if (class_escape(set)) return true;
    c = take("b") ? U'\b' : character_escape();
    return false;
  }

  std::string_view text_;
  std::string_view where_;
  size_t at_ = 0;
  int depth_ = 0;
  bool ignore_case_ = false;
};

}  // namespace

RegexNode parse_regex(std::string_view pattern, std::string_view where) {
  return Parser(pattern, where).parse();
}

}  // namespace stemma
