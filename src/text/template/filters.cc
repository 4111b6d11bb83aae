// The filters of jinja2 3.1, with transformers' tojson. Those that give a generator there give an
// iterator here, which is read once. Not supported: pprint, random, striptags, urlize, wordwrap,
// xmlattr.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/template/format.h"
#include "text/template/interpreter.h"
#include "text/template/print.h"

namespace stemma::jinja {
namespace {

Text soft_text(Runtime& r, const Value& value) { return r.str(value); }

bool is_safe(const Value& value) { return value.is_string() && value.safe(); }

// ---- attributes by path ----

using Key = std::vector<Value>;

// "a.b.0": names, and indices where a part is digits.
std::vector<Value> path_of(const Value& attribute) {
  if (attribute.is_none()) return {};
  if (!attribute.is_string()) return {attribute};
  std::vector<Value> parts;
  const Text& text = attribute.text();
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(seek(text, U".", begin), text.size());
    const Text part = text.substr(begin, end - begin);
    int64_t index = 0;
    const bool digits =
        !part.empty() && part.size() < 18 && std::all_of(part.begin(), part.end(), [&](char32_t c) {
          index = index * 10 + static_cast<int64_t>(plain(c)) - '0';
          return plain(c) >= '0' && plain(c) <= '9';
        });
    parts.push_back(digits ? Value(index) : Value(part));
    begin = end + 1;
  }
  return parts;
}

class Getter {
 public:
  Getter(Runtime& r, const Value* attribute, bool ignore_case, const Value* fallback = nullptr)
      : r_(r), ignore_case_(ignore_case), fallback_(fallback) {
    if (attribute != nullptr) path_ = path_of(*attribute);
  }
  Value operator()(Value item) const {
    for (const Value& part : path_) {
      item = r_.item(item, part);
      if (item.is_undefined() && fallback_ != nullptr && !fallback_->is_none()) item = *fallback_;
    }
    return ignore_case_ && item.is_string() ? Value(lower(item.text())) : item;
  }

 private:
  Runtime& r_;
  std::vector<Value> path_;
  bool ignore_case_;
  const Value* fallback_;
};

// Stable, as sorted(key=..., reverse=...).
template <class KeyOf>
std::vector<Value> sorted(Runtime& r, std::vector<Value> items, bool reverse, KeyOf key_of) {
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& item : items) {
    Value key = key_of(item);
    keyed.emplace_back(std::move(key), std::move(item));
  }
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& x, const auto& y) {
    return reverse ? less(r.budget(), y.first, x.first) : less(r.budget(), x.first, y.first);
  });
  items.clear();
  for (auto& [key, item] : keyed) items.push_back(std::move(item));
  return items;
}

// ---- numbers ----

Value absolute(Runtime&, const Value& x, const Arguments&) {
  if (x.is(Kind::real)) return std::abs(x.real());
  const int64_t i = expect_integer(x, "the value of abs");
  return i < 0 ? negate(i, true) : Value(i);
}

// Python's int(text, base): white space, a sign, underscores between digits.
std::optional<int64_t> parse_integer(const Text& text, int64_t base) {
  std::string digits;
  const TextView trimmed = strip(text, true, true);
  for (size_t i = 0; i < trimmed.size(); ++i) {
    const char32_t c = plain(trimmed[i]);
    if (c >= 0x80) return std::nullopt;
    if (c == '_') {
      const bool between = i > 0 && i + 1 < trimmed.size() && plain(trimmed[i - 1]) != '_' &&
                           plain(trimmed[i - 1]) != '+' && plain(trimmed[i - 1]) != '-';
      if (!between) return std::nullopt;
      continue;
    }
    digits += static_cast<char>(c);
  }
  bool negative = false;
  size_t at = 0;
  if (!digits.empty() && (digits[0] == '+' || digits[0] == '-')) negative = digits[at++] == '-';
  const auto prefixed = [&](char letter) {
    return digits.size() > at + 1 && digits[at] == '0' && (digits[at + 1] | 0x20) == letter;
  };
  for (const auto& [letter, value] : {std::pair('x', 16), {'o', 8}, {'b', 2}})
    if ((base == value || base == 0) && prefixed(letter)) {
      base = value;
      at += 2;
    }
  if (base == 0) base = 10;
  if (base < 2 || base > 36 || at >= digits.size() || digits[at] == '-' || digits[at] == '+')
    return std::nullopt;
  std::string signed_digits;
  if (negative) signed_digits += '-';
  signed_digits.append(digits, at);
  int64_t value = 0;
  const char* end = signed_digits.data() + signed_digits.size();
  const auto result = std::from_chars(signed_digits.data(), end, value, static_cast<int>(base));
  if (result.ec == std::errc::result_out_of_range && result.ptr == end)
    raise("the integer ", signed_digits, " does not fit 64 bits");
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return value;
}

std::optional<double> parse_float(const Text& text) {
  std::string digits;
  for (char32_t c : strip(text, true, true)) {
    if (plain(c) >= 0x80) return std::nullopt;
    if (plain(c) == '_' && !digits.empty() && digits.back() >= '0' && digits.back() <= '9')
      continue;
    digits += static_cast<char>(plain(c));
  }
  const bool plus = !digits.empty() && digits[0] == '+';
  const char *begin = digits.data() + plus, *end = digits.data() + digits.size();
  double value = 0;
  const auto result = std::from_chars(begin, end, value);
  if (begin == end || (plus && *begin == '-') || result.ptr != end) return std::nullopt;
  if (result.ec == std::errc::result_out_of_range) value = std::strtod(begin, nullptr);
  return value;
}

Value to_int(Runtime&, const Value& x, const Arguments& arguments) {
  const Bound bound("int", arguments, {"default", "base"}, 0);
  const Value fallback = bound[0] != nullptr ? *bound[0] : Value(0);
  if (x.is_undefined()) raise(x.message());
  if (x.is_integral()) return x.integer();
  if (x.is(Kind::big)) return x;
  double number = 0;
  if (x.is_string()) {
    if (const auto value = parse_integer(x.text(), bound.integer(1, 10))) return *value;
    const auto value = parse_float(x.text());
    if (!value || !std::isfinite(*value)) return fallback;
    number = *value;
  } else if (x.is(Kind::real)) {
    if (std::isnan(x.real())) return fallback;
    number = x.real();
  } else {
    return fallback;
  }
  if (!(std::abs(number) < 0x1p63))
    raise("the integer of ", float_text(number), " does not fit 64 bits");
  return static_cast<int64_t>(number);
}

Value to_float(Runtime&, const Value& x, const Arguments& arguments) {
  const Bound bound("float", arguments, {"default"}, 0);
  if (x.is_undefined()) raise(x.message());
  if (x.is_number()) return x.number();
  if (x.is_string())
    if (const auto value = parse_float(x.text())) return *value;
  return bound[0] != nullptr ? *bound[0] : Value(0.0);
}

Value rounded(Runtime&, const Value& x, const Arguments& arguments) {
  const Bound bound("round", arguments, {"precision", "method"}, 0);
  const int64_t precision = bound.integer(0, 0);
  if (precision > 300 || precision < -300) raise("a precision of ", precision, " is too large");
  const Text method = bound[1] != nullptr ? expect_text(*bound[1], "method") : Text(U"common");
  if (x.is_undefined()) raise(x.message());
  if (!x.is_number()) raise("type ", type_name(x), " cannot be rounded");
  if (equal(method, "ceil") || equal(method, "floor")) {
    const double scale = std::pow(10.0, static_cast<double>(precision));
    const double scaled = x.number() * scale;
    // Python's ceil and floor give integers, and so does an integer times a power of ten.
    return (equal(method, "ceil") ? std::ceil(scaled) : std::floor(scaled)) / scale;
  }
  if (!equal(method, "common")) raise("method must be common, ceil or floor");
  if (x.is_integral()) {
    if (precision >= 0) return x.integer();
    if (precision < -18) return 0;
    int64_t unit = 1;
    for (int64_t i = 0; i > precision; --i) unit *= 10;
    const int64_t rest = ((x.integer() % unit) + unit) % unit, low = x.integer() - rest;
    const bool up = rest * 2 > unit || (rest * 2 == unit && low / unit % 2 != 0);
    return up ? low + unit : low;
  }
  if (!std::isfinite(x.real())) return x;
  if (precision < 0) {
    const double unit = std::pow(10.0, static_cast<double>(-precision));
    return std::nearbyint(x.real() / unit) * unit;
  }
  // Correctly rounded from the exact binary value, half to even.
  char buffer[700];
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), x.real());
  return std::strtod(buffer, nullptr);
}

Value sum(Runtime& r, const Value& x, const Arguments& arguments) {
  const Bound bound("sum", arguments, {"attribute", "start"}, 0);
  const Getter get(r, bound[0], false);
  Value total = bound[1] != nullptr ? *bound[1] : Value(0);
  for (const Value& item : items_of(r.budget(), x))
    total = binary(r.budget(), BinaryOp::add, total, get(item));
  return total;
}

Value file_size(Runtime& r, const Value& x, const Arguments& arguments) {
  const Bound bound("filesizeformat", arguments, {"binary"}, 0);
  const bool powers_of_two = bound.flag(0, false);
  const double base = powers_of_two ? 1024 : 1000;
  const double bytes = to_float(r, x, {}).number();
  if (bytes == 1) return "1 Byte";
  if (bytes < base) return decode(cat(static_cast<int64_t>(bytes), " Bytes"));
  double unit = base * base;
  int prefix = 0;
  for (; prefix < 7 && bytes >= unit; ++prefix) unit *= base;
  char buffer[400];
  std::snprintf(buffer, sizeof buffer, "%.1f %c%s", base * bytes / unit,
                (powers_of_two ? "KMGTPEZY" : "kMGTPEZY")[prefix], powers_of_two ? "iB" : "B");
  return buffer;
}

// ---- strings ----

Value to_text(Runtime& r, const Value& x, const Arguments&) {
  return x.is_string() ? x : Value(r.str(x));
}
Value upper_case(Runtime& r, const Value& x, const Arguments&) {
  return Value(upper(soft_text(r, x)), is_safe(x));
}
Value lower_case(Runtime& r, const Value& x, const Arguments&) {
  return Value(lower(soft_text(r, x)), is_safe(x));
}

Value capitalize(Runtime& r, const Value& x, const Arguments&) {
  return r.call(r.attribute(to_text(r, x, {}), "capitalize"), {});
}

Value title(Runtime& r, const Value& x, const Arguments&) {
  const Text text = soft_text(r, x);
  Text result;
  for (size_t begin = 0; begin < text.size();) {
    const auto separates = [&](char32_t c) {
      return is_space(c) || TextView(U"-({[<").find(plain(c)) != TextView::npos;
    };
    size_t end = begin;
    while (end < text.size() && separates(text[end]) == separates(text[begin])) ++end;
    append_upper(result, text[begin]);
    result += lower(TextView(text).substr(begin + 1, end - begin - 1));
    begin = end;
  }
  return result;
}

Value trim(Runtime& r, const Value& x, const Arguments& arguments) {
  const Bound bound("trim", arguments, {"chars"}, 0);
  const Text text = soft_text(r, x);
  if (bound[0] == nullptr || bound[0]->is_none())
    return Value(Text(strip(text, true, true)), is_safe(x));
  return Value(Text(strip(text, expect_text(*bound[0], "chars"), true, true)), is_safe(x));
}

Value center(Runtime& r, const Value& x, const Arguments& arguments) {
  const Bound bound("center", arguments, {"width"}, 0);
  Arguments width;
  width.positional.push_back(bound.integer(0, 80));
  return r.call(r.attribute(to_text(r, x, {}), "center"), width);
}

Value replace(Runtime& r, const Value& x, const Arguments& arguments) {
  const Bound bound("replace", arguments, {"old", "new", "count"}, 2);
  Arguments plain_arguments;
  plain_arguments.positional = {r.str(bound.at(0)), r.str(bound.at(1))};
  if (bound[2] != nullptr && !bound[2]->is_none()) plain_arguments.positional.push_back(*bound[2]);
  return r.call(r.attribute(Value(r.str(x)), "replace"), plain_arguments);
}

Value format(Runtime& r, const Value& x, const Arguments& arguments) {
  if (!arguments.named.empty() && !arguments.positional.empty())
    raise("format cannot handle positional and keyword arguments at the same time");
  const Value text = to_text(r, x, {});
  if (arguments.named.empty())
    return percent_format(r.budget(), text, Value::tuple(r.budget(), arguments.positional));
  Dict dict;
  for (const auto& [name, value] : arguments.named) dict.set(r.budget(), decode(name), value);
  return percent_format(r.budget(), text, Value::dict(std::move(dict)));
}

std::vector<Value> lines_of(Runtime& r, const Text& text) {
  return items_of(r.budget(), r.call(r.attribute(Value(text), "splitlines"), {}));
}

Value indent(Runtime& r, const Value& x, const Arguments& arguments) {
  const Bound bound("indent", arguments, {"width", "first", "blank"}, 0);
  const Text& text = expect_text(x, "the value of indent");
  Text margin(4, U' ');
  if (bound[0] != nullptr && bound[0]->is_string()) {
    margin = bound[0]->text();
  } else if (bound[0] != nullptr) {
    const int64_t width = bound.integer(0, 4);
    if (width > 100000) raise("a width of ", width, " is too large");
    margin = Text(static_cast<size_t>(std::max<int64_t>(width, 0)), U' ');
  }
  const bool blank = bound.flag(2, false);
  Text result = bound.flag(1, false) ? margin : Text();
  bool head = true;
  for (const Value& line : lines_of(r, text + U'\n')) {
    r.budget().charge_items(margin.size());
    if (!head) result += U'\n';
    if (!head && (blank || !line.text().empty())) result += margin;
    result += line.text();
    head = false;
  }
  return Value(std::move(result), is_safe(x));
}

Value truncate(Runtime&, const Value& x, const Arguments& arguments) {
  const Bound bound("truncate", arguments, {"length", "killwords", "end", "leeway"}, 0);
  const int64_t limit = bound.integer(0, 255), leeway = bound.integer(3, 5);
  const Text end = bound[2] != nullptr ? expect_text(*bound[2], "end") : Text(U"...");
  const auto end_size = static_cast<int64_t>(end.size());
  if (limit < end_size || leeway < 0) raise("truncate: expected length >= ", end_size);
  if (length(x) <= limit + leeway) return x;
  const Text& text = expect_text(x, "the value of truncate");
  Text head = text.substr(0, static_cast<size_t>(limit - end_size));
  if (!bound.flag(1, false))
    if (const size_t space = seek_last(head, U" "); space != Text::npos) head.resize(space);
  return head + end;
}

Value word_count(Runtime& r, const Value& x, const Arguments&) {
  int64_t words = 0;
  bool inside = false;
  for (char32_t c : soft_text(r, x)) {
    const bool word = is_alphabetic(c) || is_numeric(c) || plain(c) == '_';
    words += word && !inside;
    inside = word;
  }
  return words;
}

Value url_encode(Runtime& r, const Value& x, const Arguments&) {
  const auto quote = [&](const Value& value, bool query) {
    std::string result;
    for (char c : encode(r.str(value))) {
      const bool plain_char =
          (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
          std::string_view("_.-~").find(c) != std::string_view::npos || (c == '/' && !query);
      if (plain_char) {
        result += c;
      } else if (query && c == ' ') {
        result += '+';
      } else {
        result += '%';
        result += "0123456789ABCDEF"[static_cast<unsigned char>(c) >> 4];
        result += "0123456789ABCDEF"[c & 15];
      }
    }
    return result;
  };
  if (x.is_string() || !is_iterable(x)) return decode(quote(x, false));
  std::string result;
  for (const Value& pair : x.is(Kind::dict)
                               ? items_of(r.budget(), r.call(r.attribute(x, "items"), {}))
                               : items_of(r.budget(), x)) {
    const std::vector<Value> parts = items_of(r.budget(), pair);
    if (parts.size() != 2) raise("urlencode wants pairs");
    if (!result.empty()) result += '&';
    result += quote(parts[0], true);
    result += '=';
    result += quote(parts[1], true);
  }
  return decode(result);
}

Value mark_safe(Runtime& r, const Value& x, const Arguments&) { return Value(r.str(x), true); }
Value html_escape(Runtime& r, const Value& x, const Arguments&) { return escape(r.budget(), x); }
Value force_escape(Runtime& r, const Value& x, const Arguments&) {
  return escape(r.budget(), Value(r.str(x)));
}

Value to_json(Runtime& r, const Value& x, const Arguments& arguments) {
  const Bound bound("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"}, 0);
  JsonStyle style;
  style.ensure_ascii = bound.flag(0, false);
  style.sort_keys = bound.flag(3, false);
  if (bound[1] != nullptr && !bound[1]->is_none()) {
    if (bound[1]->is_string()) {
      style.indent = bound[1]->text();
    } else {
      const int64_t width = bound.integer(1, 0);
      if (width > 1000) raise("an indent of ", width, " is too large");
      style.indent = Text(static_cast<size_t>(std::max<int64_t>(width, 0)), U' ');
    }
    style.item_separator = Text(1, U',');
  }
  if (bound[2] != nullptr && !bound[2]->is_none()) {
    const std::vector<Value> pair = items_of(r.budget(), *bound[2]);
    if (pair.size() != 2) raise("tojson: separators must be two strings");
    style.item_separator = expect_text(pair[0], "a separator");
    style.key_separator = expect_text(pair[1], "a separator");
  }
  return json_text(r.budget(), x, style);
}

// ---- sequences ----

Value default_value(Runtime&, const Value& x, const Arguments& arguments) {
  const Bound bound("default", arguments, {"default_value", "boolean"}, 0);
  if (!x.is_undefined() && !(bound.flag(1, false) && !truth(x))) return x;
  return bound[0] != nullptr ? *bound[0] : Value("");
}

Value count(Runtime&, const Value& x, const Arguments&) { return length(x); }

Value first(Runtime& r, const Value& x, const Arguments&) {
  if (x.is(Kind::iterator)) {
    Iterator& iterator = x.iterator();
    if (iterator.at < iterator.items.size()) return iterator.items[iterator.at++];
  } else if (const auto items = items_of(r.budget(), x); !items.empty()) {
    return items[0];
  }
  return Value::undefined("No first item, sequence was empty.");
}

Value last(Runtime& r, const Value& x, const Arguments&) {
  if (x.is(Kind::iterator)) raise("'", type_name(x), "' object is not reversible");
  const auto items = items_of(r.budget(), x);
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value to_list(Runtime& r, const Value& x, const Arguments&) {
  return Value::list(r.budget(), items_of(r.budget(), x));
}

Value join(Runtime& r, const Value& x, const Arguments& arguments) {
  const Bound bound("join", arguments, {"d", "attribute"}, 0);
  const Text between = bound[0] != nullptr ? r.str(*bound[0]) : Text();
  const bool by_attribute = bound[1] != nullptr && !bound[1]->is_none();
  const Getter get(r, by_attribute ? bound[1] : nullptr, false);
  Text result;
  bool head = true;
  for (const Value& item : items_of(r.budget(), x)) {
    if (!head) result += between;
    r.budget().charge_items(between.size());
    result += r.str(get(item));
    head = false;
  }
  return result;
}

Value items(Runtime& r, const Value& x, const Arguments&) {
  if (x.is_undefined()) return Value::iterator(r.budget(), {});
  if (!x.is(Kind::dict)) raise("can only get item pairs from a mapping");
  return Value::iterator(r.budget(), items_of(r.budget(), r.call(r.attribute(x, "items"), {})));
}

Value dict_sort(Runtime& r, const Value& x, const Arguments& arguments) {
  const Bound bound("dictsort", arguments, {"case_sensitive", "by", "reverse"}, 0);
  const Text by = bound[1] != nullptr ? expect_text(*bound[1], "by") : Text(U"key");
  if (!equal(by, "key") && !equal(by, "value"))
    raise("dictsort can only sort by either \"key\" or \"value\"");
  const Getter get(r, nullptr, !bound.flag(0, false));
  const size_t part = equal(by, "value");
  return Value::list(
      r.budget(),
      sorted(r, items_of(r.budget(), r.call(r.attribute(x, "items"), {})), bound.flag(2, false),
             [&](const Value& pair) { return get(pair.items()[part]); }));
}

Value sort(Runtime& r, const Value& x, const Arguments& arguments) {
  const Bound bound("sort", arguments, {"reverse", "case_sensitive", "attribute"}, 0);
  std::vector<Getter> getters;
  const bool ignore_case = !bound.flag(1, false);
  if (bound[2] != nullptr && bound[2]->is_string()) {
    const Text& text = bound[2]->text();
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(seek(text, U",", begin), text.size());
      const Value attribute(text.substr(begin, end - begin));
      getters.emplace_back(r, &attribute, ignore_case);
      begin = end + 1;
    }
  } else {
    getters.emplace_back(r, bound[2], ignore_case);
  }
  return Value::list(
      r.budget(), sorted(r, items_of(r.budget(), x), bound.flag(0, false), [&](const Value& item) {
        std::vector<Value> key;
        for (const Getter& get : getters) key.push_back(get(item));
        return Value::list(r.budget(), std::move(key));
      }));
}

Value unique(Runtime& r, const Value& x, const Arguments& arguments) {
  const Bound bound("unique", arguments, {"case_sensitive", "attribute"}, 0);
  const Getter get(r, bound[1], !bound.flag(0, false));
  Dict seen;
  std::vector<Value> result;
  for (Value& item : items_of(r.budget(), x)) {
    const Value key = get(item);
    if (seen.find(r.budget(), key) != nullptr) continue;
    seen.set(r.budget(), key, true);
    result.push_back(std::move(item));
  }
  return Value::iterator(r.budget(), std::move(result));
}

Value extreme(Runtime& r, const Value& x, const Arguments& arguments, bool greatest) {
  const Bound bound(greatest ? "max" : "min", arguments, {"case_sensitive", "attribute"}, 0);
  const Getter get(r, bound[1], !bound.flag(0, false));
  std::vector<Value> items = items_of(r.budget(), x);
  if (items.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  size_t best = 0;
  Value best_key = get(items[0]);
  for (size_t i = 1; i < items.size(); ++i) {
    Value key = get(items[i]);
    if (greatest ? less(r.budget(), best_key, key) : less(r.budget(), key, best_key)) {
      best = i;
      best_key = std::move(key);
    }
  }
  return items[best];
}
Value smallest(Runtime& r, const Value& x, const Arguments& a) { return extreme(r, x, a, false); }
Value greatest(Runtime& r, const Value& x, const Arguments& a) { return extreme(r, x, a, true); }

Value reverse(Runtime& r, const Value& x, const Arguments&) {
  if (x.is_string()) return Text(x.text().rbegin(), x.text().rend());
  std::vector<Value> items = items_of(r.budget(), x);
  std::reverse(items.begin(), items.end());
  // reversed() takes no generator; there the reference makes a list.
  return x.is(Kind::iterator) ? Value::list(r.budget(), std::move(items))
                              : Value::iterator(r.budget(), std::move(items));
}

Value group_by(Runtime& r, const Value& x, const Arguments& arguments) {
  const Bound bound("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const bool ignore_case = !bound.flag(2, false);
  const Getter key(r, bound[0], ignore_case, bound[1]), shown(r, bound[0], false, bound[1]);
  const std::vector<Value> items = sorted(r, items_of(r.budget(), x), false, key);
  std::vector<Value> groups;
  for (size_t begin = 0; begin < items.size();) {
    size_t end = begin + 1;
    const Value group_key = key(items[begin]);
    while (end < items.size() && equal(r.budget(), key(items[end]), group_key)) ++end;
    std::vector<Value> members(items.begin() + static_cast<ptrdiff_t>(begin),
                               items.begin() + static_cast<ptrdiff_t>(end));
    const Value group = Value::tuple(
        r.budget(), {shown(items[begin]), Value::list(r.budget(), std::move(members))});
    static_cast<Sequence&>(*group.shared()).group = true;
    groups.push_back(group);
    begin = end;
  }
  return Value::list(r.budget(), std::move(groups));
}

Value batch(Runtime& r, const Value& x, const Arguments& arguments) {
  const Bound bound("batch", arguments, {"linecount", "fill_with"}, 1);
  const int64_t size = bound.integer(0, 0);
  std::vector<Value> batches, line;
  const auto flush = [&] { batches.push_back(Value::list(r.budget(), std::exchange(line, {}))); };
  for (Value& item : items_of(r.budget(), x)) {
    if (static_cast<int64_t>(line.size()) == size) flush();
    line.push_back(std::move(item));
  }
  if (!line.empty()) {
    if (bound[1] != nullptr && !bound[1]->is_none())
      while (static_cast<int64_t>(line.size()) < size) {
        r.budget().charge(1);
        line.push_back(*bound[1]);
      }
    flush();
  }
  return Value::iterator(r.budget(), std::move(batches));
}

Value slices(Runtime& r, const Value& x, const Arguments& arguments) {
  const Bound bound("slice", arguments, {"slices", "fill_with"}, 1);
  const int64_t count = bound.integer(0, 0);
  if (count < 1) raise("slice: the number of slices must be at least 1");
  const std::vector<Value> items = items_of(r.budget(), x);
  const auto size = static_cast<int64_t>(items.size());
  std::vector<Value> result;
  auto at = items.begin();
  for (int64_t i = 0; i < count; ++i) {
    r.budget().charge(1);
    const auto end = at + static_cast<ptrdiff_t>(size / count + (i < size % count));
    std::vector<Value> part(at, end);
    if (bound[1] != nullptr && !bound[1]->is_none() && i >= size % count) part.push_back(*bound[1]);
    result.push_back(Value::list(r.budget(), std::move(part)));
    at = end;
  }
  return Value::iterator(r.budget(), std::move(result));
}

Value attribute(Runtime& r, const Value& x, const Arguments& arguments) {
  const Bound bound("attr", arguments, {"name"}, 1);
  const std::string name = encode(expect_text(bound.at(0), "the name of an attribute"));
  // Items do not count here.
  if (x.is(Kind::dict) && find_method(x, name) == nullptr)
    return Value::undefined(cat("'dict object' has no attribute '", name, "'"));
  return r.attribute(x, name);
}

Value map(Runtime& r, const Value& x, const Arguments& arguments) {
  std::vector<Value> result;
  if (!truth(x)) return Value::iterator(r.budget(), {});
  if (arguments.positional.empty()) {
    const Bound bound("map", arguments, {"attribute", "default"}, 0);
    if (bound[0] == nullptr) raise("map requires a filter argument");
    const Getter get(r, bound[0], false, bound[1]);
    for (const Value& item : items_of(r.budget(), x)) result.push_back(get(item));
  } else {
    const std::string name = encode(expect_text(arguments.positional[0], "the filter of map"));
    const Arguments rest{{arguments.positional.begin() + 1, arguments.positional.end()},
                         arguments.named};
    for (const Value& item : items_of(r.budget(), x)) result.push_back(r.filter(name, item, rest));
  }
  return Value::iterator(r.budget(), std::move(result));
}

Value chosen(Runtime& r, const Value& x, const Arguments& arguments, bool by_attribute, bool keep) {
  if (!truth(x)) return Value::iterator(r.budget(), {});
  const std::vector<Value>& given = arguments.positional;
  if (by_attribute && given.empty()) raise("missing parameter for attribute name");
  const Getter get(r, by_attribute ? &given[0] : nullptr, false);
  const size_t name_at = by_attribute;
  std::string name;
  Arguments rest;
  if (given.size() > name_at) {
    name = encode(expect_text(given[name_at], "the name of a test"));
    rest.positional.assign(given.begin() + static_cast<ptrdiff_t>(name_at) + 1, given.end());
    rest.named = arguments.named;
  }
  std::vector<Value> result;
  for (Value& item : items_of(r.budget(), x)) {
    const Value subject = get(item);
    const bool holds = name.empty() ? truth(subject) : r.test(name, subject, rest);
    if (holds == keep) result.push_back(std::move(item));
  }
  return Value::iterator(r.budget(), std::move(result));
}
Value select(Runtime& r, const Value& x, const Arguments& a) {
  return chosen(r, x, a, false, true);
}
Value reject(Runtime& r, const Value& x, const Arguments& a) {
  return chosen(r, x, a, false, false);
}
Value select_attribute(Runtime& r, const Value& x, const Arguments& a) {
  return chosen(r, x, a, true, true);
}
Value reject_attribute(Runtime& r, const Value& x, const Arguments& a) {
  return chosen(r, x, a, true, false);
}

}  // namespace

FilterFunction find_filter(std::string_view name) {
  static const std::unordered_map<std::string_view, FilterFunction> filters = {
      {"abs", absolute},
      {"attr", attribute},
      {"batch", batch},
      {"capitalize", capitalize},
      {"center", center},
      {"count", count},
      {"d", default_value},
      {"default", default_value},
      {"dictsort", dict_sort},
      {"e", html_escape},
      {"escape", html_escape},
      {"filesizeformat", file_size},
      {"first", first},
      {"float", to_float},
      {"forceescape", force_escape},
      {"format", format},
      {"groupby", group_by},
      {"indent", indent},
      {"int", to_int},
      {"items", items},
      {"join", join},
      {"last", last},
      {"length", count},
      {"list", to_list},
      {"lower", lower_case},
      {"map", map},
      {"max", greatest},
      {"min", smallest},
      {"reject", reject},
      {"rejectattr", reject_attribute},
      {"replace", replace},
      {"reverse", reverse},
      {"round", rounded},
      {"safe", mark_safe},
      {"select", select},
      {"selectattr", select_attribute},
      {"slice", slices},
      {"sort", sort},
      {"string", to_text},
      {"sum", sum},
      {"title", title},
      {"tojson", to_json},
      {"trim", trim},
      {"truncate", truncate},
      {"unique", unique},
      {"upper", upper_case},
      {"urlencode", url_encode},
      {"wordcount", word_count},
  };
  const auto found = filters.find(name);
  return found == filters.end() ? nullptr : found->second;
}

}  // namespace stemma::jinja
