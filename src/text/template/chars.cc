#include "text/template/chars.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "text/unicode.h"
#include "text/utf8.h"

namespace stemma::jinja {
namespace {

using unicode::Category;

Category category(char32_t c) { return unicode::properties(plain(c)).category(); }

// Upper case where it is not what lower case undoes: Unicode's SpecialCasing and letters that share
// a lower case.
struct SpecialUpper {
  char32_t c;
  const char32_t* upper;
};
constexpr SpecialUpper kSpecialUpper[] = {
    {0xB5, U"\u039C"},
    {0xDF, U"SS"},
    {0x131, U"I"},
    {0x149, U"\u02BCN"},
    {0x17F, U"S"},
    {0x1C5, U"\u01C4"},
    {0x1C8, U"\u01C7"},
    {0x1CB, U"\u01CA"},
    {0x1F0, U"J\u030C"},
    {0x1F2, U"\u01F1"},
    {0x345, U"\u0399"},
    {0x390, U"\u0399\u0308\u0301"},
    {0x3B0, U"\u03A5\u0308\u0301"},
    {0x3C2, U"\u03A3"},
    {0x3D0, U"\u0392"},
    {0x3D1, U"\u0398"},
    {0x3D5, U"\u03A6"},
    {0x3D6, U"\u03A0"},
    {0x3F0, U"\u039A"},
    {0x3F1, U"\u03A1"},
    {0x3F5, U"\u0395"},
    {0x587, U"\u0535\u0552"},
    {0x1C80, U"\u0412"},
    {0x1C81, U"\u0414"},
    {0x1C82, U"\u041E"},
    {0x1C83, U"\u0421"},
    {0x1C84, U"\u0422"},
    {0x1C85, U"\u0422"},
    {0x1C86, U"\u042A"},
    {0x1C87, U"\u0462"},
    {0x1C88, U"\uA64A"},
    {0x1E96, U"H\u0331"},
    {0x1E97, U"T\u0308"},
    {0x1E98, U"W\u030A"},
    {0x1E99, U"Y\u030A"},
    {0x1E9A, U"A\u02BE"},
    {0x1E9B, U"\u1E60"},
    {0x1F50, U"\u03A5\u0313"},
    {0x1F52, U"\u03A5\u0313\u0300"},
    {0x1F54, U"\u03A5\u0313\u0301"},
    {0x1F56, U"\u03A5\u0313\u0342"},
    {0x1F80, U"\u1F08\u0399"},
    {0x1F81, U"\u1F09\u0399"},
    {0x1F82, U"\u1F0A\u0399"},
    {0x1F83, U"\u1F0B\u0399"},
    {0x1F84, U"\u1F0C\u0399"},
    {0x1F85, U"\u1F0D\u0399"},
    {0x1F86, U"\u1F0E\u0399"},
    {0x1F87, U"\u1F0F\u0399"},
    {0x1F88, U"\u1F08\u0399"},
    {0x1F89, U"\u1F09\u0399"},
    {0x1F8A, U"\u1F0A\u0399"},
    {0x1F8B, U"\u1F0B\u0399"},
    {0x1F8C, U"\u1F0C\u0399"},
    {0x1F8D, U"\u1F0D\u0399"},
    {0x1F8E, U"\u1F0E\u0399"},
    {0x1F8F, U"\u1F0F\u0399"},
    {0x1F90, U"\u1F28\u0399"},
    {0x1F91, U"\u1F29\u0399"},
    {0x1F92, U"\u1F2A\u0399"},
    {0x1F93, U"\u1F2B\u0399"},
    {0x1F94, U"\u1F2C\u0399"},
    {0x1F95, U"\u1F2D\u0399"},
    {0x1F96, U"\u1F2E\u0399"},
    {0x1F97, U"\u1F2F\u0399"},
    {0x1F98, U"\u1F28\u0399"},
    {0x1F99, U"\u1F29\u0399"},
    {0x1F9A, U"\u1F2A\u0399"},
    {0x1F9B, U"\u1F2B\u0399"},
    {0x1F9C, U"\u1F2C\u0399"},
    {0x1F9D, U"\u1F2D\u0399"},
    {0x1F9E, U"\u1F2E\u0399"},
    {0x1F9F, U"\u1F2F\u0399"},
    {0x1FA0, U"\u1F68\u0399"},
    {0x1FA1, U"\u1F69\u0399"},
    {0x1FA2, U"\u1F6A\u0399"},
    {0x1FA3, U"\u1F6B\u0399"},
    {0x1FA4, U"\u1F6C\u0399"},
    {0x1FA5, U"\u1F6D\u0399"},
    {0x1FA6, U"\u1F6E\u0399"},
    {0x1FA7, U"\u1F6F\u0399"},
    {0x1FA8, U"\u1F68\u0399"},
    {0x1FA9, U"\u1F69\u0399"},
    {0x1FAA, U"\u1F6A\u0399"},
    {0x1FAB, U"\u1F6B\u0399"},
    {0x1FAC, U"\u1F6C\u0399"},
    {0x1FAD, U"\u1F6D\u0399"},
    {0x1FAE, U"\u1F6E\u0399"},
    {0x1FAF, U"\u1F6F\u0399"},
    {0x1FB2, U"\u1FBA\u0399"},
    {0x1FB3, U"\u0391\u0399"},
    {0x1FB4, U"\u0386\u0399"},
    {0x1FB6, U"\u0391\u0342"},
    {0x1FB7, U"\u0391\u0342\u0399"},
    {0x1FBC, U"\u0391\u0399"},
    {0x1FBE, U"\u0399"},
    {0x1FC2, U"\u1FCA\u0399"},
    {0x1FC3, U"\u0397\u0399"},
    {0x1FC4, U"\u0389\u0399"},
    {0x1FC6, U"\u0397\u0342"},
    {0x1FC7, U"\u0397\u0342\u0399"},
    {0x1FCC, U"\u0397\u0399"},
    {0x1FD2, U"\u0399\u0308\u0300"},
    {0x1FD3, U"\u0399\u0308\u0301"},
    {0x1FD6, U"\u0399\u0342"},
    {0x1FD7, U"\u0399\u0308\u0342"},
    {0x1FE2, U"\u03A5\u0308\u0300"},
    {0x1FE3, U"\u03A5\u0308\u0301"},
    {0x1FE4, U"\u03A1\u0313"},
    {0x1FE6, U"\u03A5\u0342"},
    {0x1FE7, U"\u03A5\u0308\u0342"},
    {0x1FF2, U"\u1FFA\u0399"},
    {0x1FF3, U"\u03A9\u0399"},
    {0x1FF4, U"\u038F\u0399"},
    {0x1FF6, U"\u03A9\u0342"},
    {0x1FF7, U"\u03A9\u0342\u0399"},
    {0x1FFC, U"\u03A9\u0399"},
    {0xFB00, U"FF"},
    {0xFB01, U"FI"},
    {0xFB02, U"FL"},
    {0xFB03, U"FFI"},
    {0xFB04, U"FFL"},
    {0xFB05, U"ST"},
    {0xFB06, U"ST"},
    {0xFB13, U"\u0544\u0546"},
    {0xFB14, U"\u0544\u0535"},
    {0xFB15, U"\u0544\u053B"},
    {0xFB16, U"\u054E\u0546"},
    {0xFB17, U"\u0544\u053D"},
};

const SpecialUpper* special_upper(char32_t c) {
  const auto* found = std::lower_bound(std::begin(kSpecialUpper), std::end(kSpecialUpper), c,
                                       [](const SpecialUpper& s, char32_t x) { return s.c < x; });
  return found != std::end(kSpecialUpper) && found->c == c ? found : nullptr;
}

// The letter whose lower case this is; 0 where there is none.
char32_t raised(char32_t c) {
  static const auto letters = [] {
    std::unordered_map<char32_t, char32_t> map;
    for (char32_t letter = 'A'; letter < 0x20000; ++letter)
      if (const char32_t low = unicode::lower(letter);
          low != letter && letter != unicode::kDottedCapitalI)
        map.emplace(low, letter);
    return map;
  }();
  const auto found = letters.find(c);
  return found == letters.end() ? 0 : found->second;
}

bool is_cased(char32_t c) { return is_upper(c) || is_lower(c) || is_title(c); }

// Characters that the rule for a final sigma looks through.
bool is_case_ignorable(char32_t c) {
  switch (category(c)) {
    case Category::Mn:
    case Category::Me:
    case Category::Cf:
    case Category::Lm:
    case Category::Sk:
      return true;
    default:
      return TextView(U"'.:\u00B7\u0387\u055F\u05F4\u2018\u2019\u2024\u2027").find(plain(c)) !=
             TextView::npos;
  }
}

bool is_final_sigma(TextView text, size_t at) {
  size_t before = at, after = at + 1;
  while (before > 0 && is_case_ignorable(text[before - 1])) --before;
  if (before == 0 || !is_cased(text[before - 1])) return false;
  while (after < text.size() && is_case_ignorable(text[after])) ++after;
  return after == text.size() || !is_cased(text[after]);
}

}  // namespace

Text decode(std::string_view utf8, bool input) {
  Text text;
  text.reserve(utf8.size());
  for (size_t at = 0; at < utf8.size();)
    text += utf8::next(utf8, at) | (input ? kInput : char32_t{0});
  return text;
}

std::string encode(TextView text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (char32_t c : text) utf8::append(bytes, plain(c));
  return bytes;
}

bool equal(TextView a, TextView b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), same);
}

bool equal(TextView a, std::string_view ascii) {
  return a.size() == ascii.size() &&
         std::equal(a.begin(), a.end(), ascii.begin(),
                    [](char32_t x, char y) { return plain(x) == static_cast<unsigned char>(y); });
}

int compare(TextView a, TextView b) {
  const size_t n = std::min(a.size(), b.size());
  for (size_t i = 0; i < n; ++i)
    if (!same(a[i], b[i])) return plain(a[i]) < plain(b[i]) ? -1 : 1;
  return a.size() == b.size() ? 0 : a.size() < b.size() ? -1 : 1;
}

bool starts_with(TextView text, TextView part) {
  return text.size() >= part.size() && equal(text.substr(0, part.size()), part);
}

bool ends_with(TextView text, TextView part) {
  return text.size() >= part.size() && equal(text.substr(text.size() - part.size()), part);
}

// Knuth, Morris and Pratt: hostile templates must not make a search quadratic.
size_t seek(TextView text, TextView part, size_t from) {
  if (from > text.size()) return TextView::npos;
  if (part.empty()) return from;
  std::vector<size_t> border(part.size(), 0);
  for (size_t i = 1, k = 0; i < part.size(); ++i) {
    while (k > 0 && !same(part[i], part[k])) k = border[k - 1];
    if (same(part[i], part[k])) ++k;
    border[i] = k;
  }
  for (size_t i = from, k = 0; i < text.size(); ++i) {
    while (k > 0 && !same(text[i], part[k])) k = border[k - 1];
    if (same(text[i], part[k])) ++k;
    if (k == part.size()) return i + 1 - k;
  }
  return TextView::npos;
}

size_t seek_last(TextView text, TextView part) {
  if (part.empty()) return text.size();
  const Text backward(text.rbegin(), text.rend()), wanted(part.rbegin(), part.rend());
  const size_t at = seek(backward, wanted);
  return at == Text::npos ? at : text.size() - at - part.size();
}

uint64_t hash(TextView text) {
  uint64_t h = 0xcbf29ce484222325;
  for (char32_t c : text) h = (h ^ plain(c)) * 0x100000001b3;
  return h;
}

bool is_space(char32_t c) {
  c = plain(c);
  return (c >= 0x1C && c <= 0x1F) || unicode::is_whitespace(c);
}

bool is_line_end(char32_t c) {
  c = plain(c);
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool is_alphabetic(char32_t c) { return unicode::is_letter(category(c)); }
bool is_decimal(char32_t c) { return category(c) == Category::Nd; }
bool is_numeric(char32_t c) { return unicode::is_number(category(c)); }
bool is_upper(char32_t c) { return category(c) == Category::Lu; }
bool is_lower(char32_t c) {
  return category(c) == Category::Ll || plain(c) == 0xAA || plain(c) == 0xBA;
}
bool is_title(char32_t c) { return category(c) == Category::Lt; }

bool is_printable(char32_t c) {
  const Category k = category(c);
  return plain(c) == ' ' || (k != Category::Cn && !unicode::is_separator(k) && k < Category::Cc);
}

void append_upper(Text& to, char32_t c) {
  const char32_t mark = c & kInput;
  c = plain(c);
  if (const SpecialUpper* special = special_upper(c)) {
    for (const char32_t* u = special->upper; *u != 0; ++u) to += *u | mark;
  } else {
    const char32_t letter = raised(c);
    to += (letter != 0 ? letter : c) | mark;
  }
}

void append_title(Text& to, char32_t c) {
  const char32_t mark = c & kInput, letter = raised(plain(c));
  c = plain(c);
  if (c >= 0x1C4 && c <= 0x1CC) {
    to += (c < 0x1C7 ? 0x1C5 : c < 0x1CA ? 0x1C8 : 0x1CB) | mark;
  } else if (c >= 0x1F1 && c <= 0x1F3) {
    to += 0x1F2 | mark;
  } else if ((c >= 0x10D0 && c <= 0x10FF) || is_title(c)) {  // Georgian has no title case
    to += c | mark;
  } else if (letter != 0 && c != 0xDF && special_upper(c) != nullptr &&
             special_upper(c)->upper[1] != 0) {
    to += letter | mark;
  } else {
    const size_t start = to.size();
    append_upper(to, c | mark);
    const bool greek_iota = to.size() == start + 2 && plain(to.back()) == 0x399;
    for (size_t i = start + 1; i < to.size(); ++i)
      to[i] = greek_iota ? (0x345 | mark) : (unicode::lower(plain(to[i])) | mark);
  }
}

Text upper(TextView text) {
  Text result;
  result.reserve(text.size());
  for (char32_t c : text) append_upper(result, c);
  return result;
}

Text lower(TextView text) {
  Text result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t mark = text[i] & kInput, c = plain(text[i]);
    if (c == unicode::kDottedCapitalI) {
      result += U'i' | mark;
      result += 0x307 | mark;
    } else if (c == 0x3A3 && is_final_sigma(text, i)) {
      result += 0x3C2 | mark;
    } else {
      result += unicode::lower(c) | mark;
    }
  }
  return result;
}

namespace {
template <class Drop>
TextView strip_if(TextView text, bool left, bool right, Drop drop) {
  size_t begin = 0, end = text.size();
  while (left && begin < end && drop(text[begin])) ++begin;
  while (right && end > begin && drop(text[end - 1])) --end;
  return text.substr(begin, end - begin);
}
}  // namespace

TextView strip(TextView text, bool left, bool right) {
  return strip_if(text, left, right, is_space);
}

TextView strip(TextView text, TextView chars, bool left, bool right) {
  Text set(chars);
  for (char32_t& c : set) c = plain(c);
  std::sort(set.begin(), set.end());
  return strip_if(text, left, right,
                  [&](char32_t c) { return std::binary_search(set.begin(), set.end(), plain(c)); });
}

}  // namespace stemma::jinja
