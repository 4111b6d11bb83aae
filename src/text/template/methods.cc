// Methods of strings, lists, tuples, dicts and ranges, as Python's. Those that would change a list
// or a dict are not here: the sandbox refuses them (is_mutator). Not supported: str.casefold,
// encode, maketrans, translate.
#include <algorithm>
#include <cmath>

#include "text/template/format.h"
#include "text/template/interpreter.h"

namespace stemma::jinja {
namespace {

using R = Runtime&;
using V = const Value&;
using A = const Arguments&;

// A string of the same kind (plain or Markup) as `self`.
Value like(V self, TextView text) { return Value(Text(text), self.safe()); }

// The part of a string that optional start and end arguments choose, and where it begins.
struct Part {
  TextView text;
  size_t begin;
  bool valid;  // start lies within the string
};
Part part_of(V self, const Bound& bound, size_t start_at) {
  const Text& text = self.text();
  const auto size = static_cast<int64_t>(text.size());
  const auto place = [&](size_t i, int64_t absent) {
    if (bound[i] == nullptr || bound[i]->is_none()) return absent;
    const int64_t given = bound.integer(i, 0);
    return given < 0 ? std::max<int64_t>(given < -size ? 0 : given + size, 0) : given;
  };
  const int64_t start = place(start_at, 0), end = std::min(place(start_at + 1, size), size);
  if (start > end) return {{}, 0, false};
  return {TextView(text).substr(static_cast<size_t>(start), static_cast<size_t>(end - start)),
          static_cast<size_t>(start), true};
}

// ---- strings: searching ----

enum class End : uint8_t { front, back };

template <End end>
Value has_affix(R, V self, A arguments) {
  const char* name = end == End::front ? "startswith" : "endswith";
  const Bound bound(name, arguments, {"affix", "start", "end"}, 1);
  const Part part = part_of(self, bound, 1);
  const auto has = [&](V affix) {
    const Text& text = expect_text(affix, name);
    if (!part.valid) return false;
    return end == End::front ? starts_with(part.text, text) : ends_with(part.text, text);
  };
  if (!bound.at(0).is(Kind::tuple)) return has(bound.at(0));
  return std::any_of(bound.at(0).items().begin(), bound.at(0).items().end(), has);
}

template <End end, bool fails>
Value find_text(R r, V self, A arguments) {
  const Bound bound("find", arguments, {"sub", "start", "end"}, 1);
  const Part part = part_of(self, bound, 1);
  const Text& wanted = expect_text(bound.at(0), "the substring");
  r.budget().charge_items(part.text.size());
  const size_t at = !part.valid         ? Text::npos
                    : end == End::front ? seek(part.text, wanted)
                                        : seek_last(part.text, wanted);
  if (at != Text::npos) return static_cast<int64_t>(part.begin + at);
  if (fails) raise("substring not found");
  return -1;
}

Value count_text(R r, V self, A arguments) {
  const Bound bound("count", arguments, {"sub", "start", "end"}, 1);
  const Part part = part_of(self, bound, 1);
  const Text& wanted = expect_text(bound.at(0), "the substring");
  if (!part.valid) return 0;
  if (wanted.empty()) return part.text.size() + 1;
  int64_t count = 0;
  for (size_t at = seek(part.text, wanted); at != Text::npos;
       at = seek(part.text, wanted, at + wanted.size())) {
    r.budget().charge_items(wanted.size());
    ++count;
  }
  return count;
}

// ---- strings: cutting ----

template <bool left, bool right>
Value strip_text(R, V self, A arguments) {
  const Bound bound("strip", arguments, {"chars"}, 0);
  if (bound[0] == nullptr || bound[0]->is_none())
    return like(self, strip(self.text(), left, right));
  return like(self, strip(self.text(), expect_text(*bound[0], "chars"), left, right));
}

template <End end>
Value remove_affix(R, V self, A arguments) {
  const Bound bound("removeprefix", arguments, {"affix"}, 1);
  const Text& affix = expect_text(bound.at(0), "the affix");
  TextView text = self.text();
  if (end == End::front ? starts_with(text, affix) : ends_with(text, affix)) {
    if (end == End::front)
      text.remove_prefix(affix.size());
    else
      text.remove_suffix(affix.size());
  }
  return like(self, text);
}

// Pieces of `text` between white space, from the front or (in that order) from the back.
std::vector<TextView> split_spaces(TextView text, int64_t limit, End end) {
  std::vector<TextView> parts;
  while (true) {
    text = strip(text, end == End::front, end == End::back);
    if (text.empty()) break;
    if (static_cast<int64_t>(parts.size()) == limit) {
      parts.push_back(strip(text, end == End::back, end == End::front));
      // What is left keeps its inner side's space only.
      parts.back() = text;
      break;
    }
    size_t n = 0;
    while (n < text.size() && !is_space(text[end == End::front ? n : text.size() - 1 - n])) ++n;
    parts.push_back(end == End::front ? text.substr(0, n) : text.substr(text.size() - n));
    text = end == End::front ? text.substr(n) : text.substr(0, text.size() - n);
  }
  return parts;
}

std::vector<TextView> split_at(TextView text, TextView separator, int64_t limit, End end) {
  std::vector<TextView> parts;
  if (separator.empty()) raise("empty separator");
  if (end == End::front) {
    size_t from = 0;
    while (static_cast<int64_t>(parts.size()) != limit) {
      const size_t at = seek(text, separator, from);
      if (at == TextView::npos) break;
      parts.push_back(text.substr(from, at - from));
      from = at + separator.size();
    }
    parts.push_back(text.substr(from));
    return parts;
  }
  while (static_cast<int64_t>(parts.size()) != limit) {
    const size_t at = seek_last(text, separator);
    if (at == TextView::npos) break;
    parts.push_back(text.substr(at + separator.size()));
    text = text.substr(0, at);
  }
  parts.push_back(text);
  return parts;
}

template <End end>
Value split(R r, V self, A arguments) {
  const Bound bound("split", arguments, {"sep", "maxsplit"}, 0);
  const int64_t limit = bound.integer(1, -1);
  const bool spaces = bound[0] == nullptr || bound[0]->is_none();
  // From the back, each cut searches all that is left.
  if (end == End::back && !spaces && limit < 0) return split<End::front>(r, self, arguments);
  r.budget().charge_items(self.text().size() * (end == End::back && limit > 0
                                                    ? static_cast<uint64_t>(limit)
                                                    : uint64_t{1}));
  auto parts = spaces ? split_spaces(self.text(), limit, end)
                      : split_at(self.text(), expect_text(*bound[0], "sep"), limit, end);
  if (end == End::back) std::reverse(parts.begin(), parts.end());
  r.budget().charge(parts.size());
  std::vector<Value> values;
  for (TextView part : parts) values.push_back(like(self, part));
  return Value::list(r.budget(), std::move(values));
}

template <End end>
Value partition(R r, V self, A arguments) {
  const Bound bound("partition", arguments, {"sep"}, 1);
  const Text& separator = expect_text(bound.at(0), "sep");
  if (separator.empty()) raise("empty separator");
  const TextView text = self.text();
  const size_t at = end == End::front ? seek(text, separator) : seek_last(text, separator);
  const Value none = like(self, {});
  if (at == TextView::npos)
    return end == End::front ? Value::tuple(r.budget(), {self, none, none})
                             : Value::tuple(r.budget(), {none, none, self});
  return Value::tuple(r.budget(), {like(self, text.substr(0, at)), like(self, separator),
                                   like(self, text.substr(at + separator.size()))});
}

Value split_lines(R r, V self, A arguments) {
  const Bound bound("splitlines", arguments, {"keepends"}, 0);
  const bool keep = bound.flag(0, false);
  const TextView text = self.text();
  std::vector<Value> lines;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin;
    while (end < text.size() && !is_line_end(text[end])) ++end;
    size_t next = end;
    if (next < text.size())
      next += plain(text[next]) == '\r' && next + 1 < text.size() && plain(text[next + 1]) == '\n'
                  ? 2
                  : 1;
    lines.push_back(like(self, text.substr(begin, (keep ? next : end) - begin)));
    begin = next;
  }
  r.budget().charge(lines.size() + text.size() / 8);
  return Value::list(r.budget(), std::move(lines));
}

// ---- strings: making ----

Value replace(R r, V self, A arguments) {
  const Bound bound("replace", arguments, {"old", "new", "count"}, 2);
  const Text& text = self.text();
  const Text& old = expect_text(bound.at(0), "old");
  const Text& fresh = expect_text(bound.at(1), "new");
  const int64_t limit = bound.integer(2, -1);
  Text result;
  size_t from = 0;
  for (int64_t done = 0; done != limit; ++done) {
    const size_t at = old.empty() ? from + (done > 0) : seek(text, old, from);
    if (at == Text::npos || at > text.size()) break;
    r.budget().charge_items(fresh.size() + old.size());
    result.append(text, from, at - from);
    result += fresh;
    from = at + old.size();
  }
  result.append(text, from);
  return Value(std::move(result), self.safe());
}

Value join(R r, V self, A arguments) {
  const Bound bound("join", arguments, {"iterable"}, 1);
  Text result;
  bool head = true;
  for (V item : items_of(r.budget(), bound.at(0))) {
    if (!head) result += self.text();
    r.budget().charge_items(self.text().size() + 8);
    result += self.safe() ? escape(r.budget(), item).text() : expect_text(item, "an item of join");
    head = false;
  }
  r.budget().charge_items(result.size());
  return Value(std::move(result), self.safe());
}

template <char align>
Value justify(R r, V self, A arguments) {
  const Bound bound("justify", arguments, {"width", "fillchar"}, 1);
  const int64_t width = bound.integer(0, 0);
  const Text fill = bound[1] != nullptr ? expect_text(*bound[1], "fillchar") : Text(U" ");
  if (fill.size() != 1) raise("the fill character must be exactly one character long");
  const auto size = static_cast<int64_t>(self.text().size());
  if (width <= size) return self;
  r.budget().charge_items(static_cast<uint64_t>(width));
  const int64_t missing = width - size;
  const int64_t before = align == '<'   ? 0
                         : align == '>' ? missing
                                        : missing / 2 + (missing & width & 1);
  return like(self, Text(static_cast<size_t>(before), fill[0]) + self.text() +
                        Text(static_cast<size_t>(missing - before), fill[0]));
}

Value zero_fill(R r, V self, A arguments) {
  const Bound bound("zfill", arguments, {"width"}, 1);
  const int64_t width = bound.integer(0, 0);
  const auto size = static_cast<int64_t>(self.text().size());
  if (width <= size) return self;
  r.budget().charge_items(static_cast<uint64_t>(width));
  Text text = self.text();
  const bool sign = !text.empty() && (plain(text[0]) == '+' || plain(text[0]) == '-');
  text.insert(sign, static_cast<size_t>(width - size), U'0');
  return Value(std::move(text), self.safe());
}

Value expand_tabs(R r, V self, A arguments) {
  const Bound bound("expandtabs", arguments, {"tabsize"}, 0);
  const int64_t size = std::min<int64_t>(bound.integer(0, 8), 1000);
  Text result;
  int64_t column = 0;
  for (char32_t c : self.text()) {
    if (plain(c) == '\t') {
      const int64_t spaces = size > 0 ? size - column % size : 0;
      r.budget().charge_items(static_cast<uint64_t>(spaces));
      result.append(static_cast<size_t>(spaces), U' ');
      column += spaces;
    } else {
      column = plain(c) == '\n' || plain(c) == '\r' ? 0 : column + 1;
      result += c;
    }
  }
  return Value(std::move(result), self.safe());
}

Value to_upper(R, V self, A) { return like(self, upper(self.text())); }
Value to_lower(R, V self, A) { return like(self, lower(self.text())); }

Value capitalize(R, V self, A) {
  Text result;
  if (!self.text().empty()) {
    append_title(result, self.text()[0]);
    // In its place, so that a final sigma is seen.
    result += lower(self.text()).substr(lower(TextView(self.text()).substr(0, 1)).size());
  }
  return like(self, result);
}

Value title(R, V self, A) {
  Text result;
  bool inside = false;
  const Text low = lower(self.text());
  for (size_t i = 0; i < self.text().size(); ++i) {
    const char32_t c = self.text()[i];
    if (inside)
      result += low.size() == self.text().size() ? Text(1, low[i]) : lower(TextView(&c, 1));
    else
      append_title(result, c);
    inside = is_upper(c) || is_lower(c) || is_title(c);
  }
  return like(self, result);
}

Value swap_case(R, V self, A) {
  Text result;
  for (char32_t c : self.text()) {
    if (is_upper(c))
      result += lower(TextView(&c, 1));
    else
      append_upper(result, c);
  }
  return like(self, result);
}

// ---- strings: properties ----

template <bool (*holds)(char32_t), bool empty = false>
Value all_are(R, V self, A) {
  return (empty || !self.text().empty()) &&
         std::all_of(self.text().begin(), self.text().end(), holds);
}
bool is_alphanumeric(char32_t c) { return is_alphabetic(c) || is_numeric(c); }
bool is_ascii(char32_t c) { return plain(c) < 0x80; }

template <bool wanted_upper>
Value has_case(R r, V self, A arguments) {
  return find_test(wanted_upper ? "upper" : "lower")(r, self, arguments);
}

Value is_title_case(R, V self, A) {
  bool inside = false, found = false;
  for (char32_t c : self.text()) {
    const bool raised = is_upper(c) || is_title(c);
    if ((raised && inside) || (is_lower(c) && !inside)) return false;
    inside = raised || is_lower(c);
    found |= inside;
  }
  return found;
}

Value is_identifier(R, V self, A) {
  const Text& text = self.text();
  return !text.empty() && !is_numeric(text[0]) &&
         std::all_of(text.begin(), text.end(),
                     [](char32_t c) { return is_alphanumeric(c) || plain(c) == '_'; });
}

Value format(R r, V self, A arguments) { return brace_format(r, self, arguments); }

Value format_map(R r, V self, A arguments) {
  const Bound bound("format_map", arguments, {"mapping"}, 1);
  Arguments named;
  if (!bound.at(0).is(Kind::dict)) raise("format_map wants a mapping");
  for (const auto& [key, value] : bound.at(0).dict().items)
    named.named.emplace_back(encode(expect_text(key, "a key")), value);
  return brace_format(r, self, named);
}

// ---- lists, tuples, ranges ----

Value count_items(R r, V self, A arguments) {
  const Bound bound("count", arguments, {"value"}, 1);
  int64_t count = 0;
  for (V item : items_of(r.budget(), self)) count += equal(r.budget(), item, bound.at(0));
  return count;
}

Value index_of(R r, V self, A arguments) {
  const Bound bound("index", arguments, {"value", "start", "stop"}, 1);
  const std::vector<Value> items = items_of(r.budget(), self);
  const auto size = static_cast<int64_t>(items.size());
  const auto place = [&](size_t i, int64_t absent) {
    const int64_t given = bound.integer(i, absent);
    return given < 0 ? std::max<int64_t>(given + size, 0) : std::min(given, size);
  };
  for (int64_t i = place(1, 0); i < place(2, size); ++i)
    if (equal(r.budget(), items[static_cast<size_t>(i)], bound.at(0))) return i;
  raise("the value is not in the ", type_name(self));
}

Value copy(R, V self, A) { return self; }  // what never changes need not be copied

// ---- dicts ----

template <View::Part part>
Value view(R, V self, A arguments) {
  const Bound bound("a view", arguments, {}, 0);
  auto object = std::make_shared<View>();
  object->part = part;
  object->dict = self;
  object->depth = self.depth() + 1;
  return Value(Kind::view, std::move(object));
}

Value get(R r, V self, A arguments) {
  const Bound bound("get", arguments, {"key", "default"}, 1);
  const Value* found = self.dict().find(r.budget(), bound.at(0));
  return found != nullptr ? *found : bound[1] != nullptr ? *bound[1] : Value();
}

Value from_keys(R r, V, A arguments) {
  const Bound bound("fromkeys", arguments, {"iterable", "value"}, 1);
  Dict dict;
  for (Value& key : items_of(r.budget(), bound.at(0)))
    dict.set(r.budget(), std::move(key), bound[1] != nullptr ? *bound[1] : Value());
  return Value::dict(std::move(dict));
}

Value is_whole(R, V self, A) {
  return std::isfinite(self.real()) && self.real() == std::floor(self.real());
}

using Methods = std::unordered_map<std::string_view, MethodFunction>;

const Methods& string_methods() {
  static const Methods methods = {
      {"capitalize", capitalize},
      {"center", justify<'^'>},
      {"count", count_text},
      {"endswith", has_affix<End::back>},
      {"expandtabs", expand_tabs},
      {"find", find_text<End::front, false>},
      {"format", format},
      {"format_map", format_map},
      {"index", find_text<End::front, true>},
      {"isalnum", all_are<is_alphanumeric>},
      {"isalpha", all_are<is_alphabetic>},
      {"isascii", all_are<is_ascii, true>},
      {"isdecimal", all_are<is_decimal>},
      {"isdigit", all_are<is_decimal>},
      {"isidentifier", is_identifier},
      {"islower", has_case<false>},
      {"isnumeric", all_are<is_numeric>},
      {"isprintable", all_are<is_printable, true>},
      {"isspace", all_are<is_space>},
      {"istitle", is_title_case},
      {"isupper", has_case<true>},
      {"join", join},
      {"ljust", justify<'<'>},
      {"lower", to_lower},
      {"lstrip", strip_text<true, false>},
      {"partition", partition<End::front>},
      {"removeprefix", remove_affix<End::front>},
      {"removesuffix", remove_affix<End::back>},
      {"replace", replace},
      {"rfind", find_text<End::back, false>},
      {"rindex", find_text<End::back, true>},
      {"rjust", justify<'>'>},
      {"rpartition", partition<End::back>},
      {"rsplit", split<End::back>},
      {"rstrip", strip_text<false, true>},
      {"split", split<End::front>},
      {"splitlines", split_lines},
      {"startswith", has_affix<End::front>},
      {"strip", strip_text<true, true>},
      {"swapcase", swap_case},
      {"title", title},
      {"upper", to_upper},
      {"zfill", zero_fill},
  };
  return methods;
}

const Methods& methods_of(V self) {
  static const Methods none;
  static const Methods list = {{"copy", copy}, {"count", count_items}, {"index", index_of}};
  static const Methods tuple = {{"count", count_items}, {"index", index_of}};
  static const Methods real = {{"is_integer", is_whole}};
  static const Methods dict = {{"copy", copy},
                               {"fromkeys", from_keys},
                               {"get", get},
                               {"items", view<View::Part::items>},
                               {"keys", view<View::Part::keys>},
                               {"values", view<View::Part::values>}};
  switch (self.kind()) {
    case Kind::string:
      return string_methods();
    case Kind::list:
      return list;
    case Kind::tuple:
    case Kind::range:
      return tuple;
    case Kind::real:
      return real;
    case Kind::dict:
      return dict;
    default:
      return none;
  }
}

}  // namespace

MethodFunction find_method(const Value& self, std::string_view name) {
  const Methods& methods = methods_of(self);
  const auto found = methods.find(name);
  return found == methods.end() ? nullptr : found->second;
}

bool is_mutator(const Value& self, std::string_view name) {
  constexpr std::string_view kList[] = {"append", "clear", "pop",    "reverse",
                                        "insert", "sort",  "extend", "remove"};
  constexpr std::string_view kDict[] = {"clear", "pop", "popitem", "setdefault", "update"};
  const auto in = [&](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  return (self.is(Kind::list) && in(kList)) || (self.is(Kind::dict) && in(kDict));
}

}  // namespace stemma::jinja
