#include "text/template/print.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/template/operators.h"

namespace stemma::jinja {
namespace {

void append(Text& to, std::string_view ascii) {
  for (char c : ascii) to += static_cast<unsigned char>(c);
}

// The digits of `c` behind an escape's letter, all marked as `c` is.
void append_hex(Text& to, char letter, int digits, char32_t c) {
  const char32_t mark = c & kInput;
  to += U'\\' | mark;
  to += static_cast<char32_t>(letter) | mark;
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
    to += static_cast<char32_t>("0123456789abcdef"[plain(c) >> shift & 15]) | mark;
}

void append_escape(Text& to, char letter, char32_t c) {
  to += U'\\' | (c & kInput);
  to += static_cast<char32_t>(letter) | (c & kInput);
}

void append_repr(Text& to, TextView text) {
  const auto has = [&](char32_t quote) {
    return std::any_of(text.begin(), text.end(), [&](char32_t c) { return plain(c) == quote; });
  };
  const char32_t quote = has(U'\'') && !has(U'"') ? U'"' : U'\'';
  to += quote;
  for (char32_t c : text) {
    const char32_t p = plain(c);
    if (p == quote || p == '\\')
      append_escape(to, static_cast<char>(p), c);
    else if (p == '\n')
      append_escape(to, 'n', c);
    else if (p == '\r')
      append_escape(to, 'r', c);
    else if (p == '\t')
      append_escape(to, 't', c);
    else if (is_printable(c))
      to += c;
    else if (p < 0x100)
      append_hex(to, 'x', 2, c);
    else if (p < 0x10000)
      append_hex(to, 'u', 4, c);
    else
      append_hex(to, 'U', 8, c);
  }
  to += quote;
}

void append_repr(Budget& b, Text& to, const Value& value) {
  b.charge(1);
  const auto list = [&](const std::vector<Value>& items, char32_t open, char32_t close) {
    to += open;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) append(to, ", ");
      append_repr(b, to, items[i]);
    }
    to += close;
  };
  switch (value.kind()) {
    case Kind::undefined:
      return append(to, "Undefined");
    case Kind::none:
      return append(to, "None");
    case Kind::boolean:
      return append(to, value.boolean() ? "True" : "False");
    case Kind::integer:
      return append(to, cat(value.integer()));
    case Kind::big:
      return append(to, value.digits());
    case Kind::real:
      return append(to, float_text(value.real()));
    case Kind::string:
      b.charge_items(value.text().size());
      if (value.safe()) append(to, "Markup(");
      append_repr(to, value.text());
      if (value.safe()) append(to, ")");
      return;
    case Kind::list:
      return list(value.items(), U'[', U']');
    case Kind::tuple:
      if (value.items().size() != 1) return list(value.items(), U'(', U')');
      to += U'(';
      append_repr(b, to, value.items()[0]);
      return append(to, ",)");
    case Kind::dict: {
      to += U'{';
      bool first = true;
      for (const auto& [key, item] : value.dict().items) {
        if (!first) append(to, ", ");
        first = false;
        append_repr(b, to, key);
        append(to, ": ");
        append_repr(b, to, item);
      }
      to += U'}';
      return;
    }
    case Kind::view:
      append(to, type_name(value));
      to += U'(';
      list(items_of(b, value), U'[', U']');
      to += U')';
      return;
    case Kind::range: {
      const Range& range = value.range();
      append(to, cat("range(", range.start, ", ", range.stop));
      if (range.step != 1) append(to, cat(", ", range.step));
      to += U')';
      return;
    }
    case Kind::iterator:
      return append(to, "<generator object>");
    case Kind::object:
      return append(to, value.special()->repr());
  }
}

void append_json_string(Text& to, TextView text, bool ensure_ascii) {
  to += U'"';
  for (char32_t c : text) {
    const char32_t p = plain(c), mark = c & kInput;
    constexpr std::string_view kEscaped = "\"\\\n\r\t\f\b", kLetters = "\"\\nrtfb";
    if (const size_t i = p < 0x80 ? kEscaped.find(static_cast<char>(p)) : std::string_view::npos;
        i != std::string_view::npos) {
      append_escape(to, kLetters[i], c);
    } else if (p < 0x20 || (ensure_ascii && p >= 0x7F && p < 0x10000)) {
      append_hex(to, 'u', 4, c);
    } else if (ensure_ascii && p >= 0x10000) {
      append_hex(to, 'u', 4, (0xD800 + ((p - 0x10000) >> 10)) | mark);
      append_hex(to, 'u', 4, (0xDC00 + ((p - 0x10000) & 0x3FF)) | mark);
    } else {
      to += c;
    }
  }
  to += U'"';
}

class JsonWriter {
 public:
  JsonWriter(Budget& b, const JsonStyle& style) : b_(b), style_(style) {}

  void write(const Value& value) {
    b_.charge(1);
    switch (value.kind()) {
      case Kind::none:
        return append(text, "null");
      case Kind::boolean:
        return append(text, value.boolean() ? "true" : "false");
      case Kind::integer:
        return append(text, cat(value.integer()));
      case Kind::big:
        return append(text, value.digits());
      case Kind::real:
        return append(text, number(value.real()));
      case Kind::string:
        b_.charge_items(value.text().size());
        return append_json_string(text, value.text(), style_.ensure_ascii);
      case Kind::list:
      case Kind::tuple: {
        const std::vector<Value>& items = value.items();
        return block(U'[', U']', items.size(), [&](size_t i) { write(items[i]); });
      }
      case Kind::dict: {
        auto members = value.dict().items;
        if (style_.sort_keys)
          std::stable_sort(members.begin(), members.end(), [&](const auto& x, const auto& y) {
            return less(b_, x.first, y.first);
          });
        return block(U'{', U'}', members.size(), [&](size_t i) {
          append_json_string(text, key(members[i].first), style_.ensure_ascii);
          text += style_.key_separator;
          write(members[i].second);
        });
      }
      default:
        raise("Object of type ", type_name(value), " is not JSON serializable");
    }
  }

  Text text;

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return float_text(value);
  }

  static Text key(const Value& key) {
    switch (key.kind()) {
      case Kind::string:
        return key.text();
      case Kind::boolean:
        return key.boolean() ? U"true" : U"false";
      case Kind::none:
        return U"null";
      case Kind::integer:
        return decode(cat(key.integer()));
      case Kind::big:
        return decode(key.digits());
      case Kind::real:
        return decode(number(key.real()));
      default:
        raise("keys must be str, int, float, bool or None, not ", type_name(key));
    }
  }

  template <class Write>
  void block(char32_t open, char32_t close, size_t count, Write write) {
    text += open;
    ++level_;
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) text += style_.item_separator;
      new_line();
      write(i);
    }
    --level_;
    if (count > 0) new_line();
    text += close;
  }

  void new_line() {
    if (!style_.indent) return;
    b_.charge_items(style_.indent->size() * static_cast<size_t>(level_));
    text += U'\n';
    for (int i = 0; i < level_; ++i) text += *style_.indent;
  }

  Budget& b_;
  const JsonStyle& style_;
  int level_ = 0;
};

}  // namespace

// Python's repr: the shortest digits that read back the same, positional from 1e-4 to 1e16.
std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[64];
  const double size = std::abs(value);
  const bool positional = size == 0 || (size >= 1e-4 && size < 1e16);
  char* end = std::to_chars(buffer, buffer + sizeof buffer, value,
                            positional ? std::chars_format::fixed : std::chars_format::scientific)
                  .ptr;
  std::string text(buffer, end);
  if (positional && text.find('.') == std::string::npos) text += ".0";
  return text;
}

Text repr(Budget& b, const Value& value) {
  Text text;
  append_repr(b, text, value);
  return text;
}

Text str(Budget& b, const Value& value) {
  if (value.is_undefined()) return {};
  if (!value.is_string()) return repr(b, value);
  b.charge_items(value.text().size());
  return value.text();
}

Text json_text(Budget& b, const Value& value, const JsonStyle& style) {
  JsonWriter writer(b, style);
  writer.write(value);
  return std::move(writer.text);
}

}  // namespace stemma::jinja
