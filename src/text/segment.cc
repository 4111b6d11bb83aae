#include "text/segment.h"

#include "text/utf8.h"

namespace stemma::unicode {
namespace {

// make_segment_tables.py numbers them so.
enum GraphemeClass : uint8_t {
  kOther,
  kCr,
  kLf,
  kControl,
  kExtend,
  kZwj,
  kPrepend,
  kSpacingMark,
  kL,
  kV,
  kT,
  kLv,
  kLvt,
  kRegional,
  kPictographic,
  kConsonant,    // of a script that joins consonants
  kLinker,       // extends, and joins the consonants around it
  kPlainExtend,  // extends, and keeps consonants apart
};

GraphemeClass grapheme_class(char32_t c) {
  return static_cast<GraphemeClass>(kGrapheme[kGraphemeBlock[c / 128] * 128 + c % 128]);
}

bool extends(GraphemeClass c) {
  return c == kExtend || c == kZwj || c == kLinker || c == kPlainExtend;
}

bool hangul_joins(GraphemeClass a, GraphemeClass b) {
  if (a == kL) return b == kL || b == kV || b == kLv || b == kLvt;
  if (a == kLv || a == kV) return b == kV || b == kT;
  return (a == kLvt || a == kT) && b == kT;
}

}  // namespace

bool stands_alone(char32_t c) { return grapheme_class(c) == kOther; }

size_t grapheme_end(std::string_view text, size_t at) {
  GraphemeClass last = grapheme_class(utf8::next(text, at));
  bool emoji = last == kPictographic;  // a pictographic and what extends it, so far
  bool consonant = last == kConsonant, linked = false;
  int regionals = last == kRegional;
  while (at < text.size()) {
    size_t end = at;
    const GraphemeClass now = grapheme_class(utf8::next(text, end));
    const auto joins = [&] {
      if (last == kCr && now == kLf) return true;
      if ((last >= kCr && last <= kControl) || (now >= kCr && now <= kControl)) return false;
      if (extends(now) || now == kSpacingMark || last == kPrepend) return true;
      if (hangul_joins(last, now)) return true;
      if (now == kConsonant && linked) return true;
      if (now == kPictographic && last == kZwj && emoji) return true;
      return now == kRegional && last == kRegional && regionals % 2 == 1;
    };
    if (!joins()) return at;
    emoji = now == kPictographic || (emoji && extends(now));
    if (now == kConsonant) {
      consonant = true;
      linked = false;
    } else {
      consonant &= now == kExtend || now == kZwj || now == kLinker;
      linked = consonant && (linked || now == kLinker);
    }
    regionals = now == kRegional ? regionals + 1 : 0;
    last = now;
    at = end;
  }
  return at;
}

}  // namespace stemma::unicode
