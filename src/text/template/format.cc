#include "text/template/format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "text/template/interpreter.h"
#include "text/template/operators.h"
#include "text/template/print.h"

namespace stemma::jinja {
namespace {

constexpr int64_t kMaxWidth = 100000;

// A format specification, in the terms of str.format; percent_format fills one too.
struct Spec {
  char32_t fill = ' ';
  char align = 0;  // <, >, =, ^; 0: by type
  char sign = '-';
  bool alternate = false;
  int64_t width = 0;
  char grouping = 0;
  std::optional<int64_t> precision;
  char type = 0;
};

std::string digits_in(uint64_t value, unsigned base) {
  std::string text;
  do text += "0123456789abcdef"[value % base];
  while ((value /= base) != 0);
  std::reverse(text.begin(), text.end());
  return text;
}

// Exactly Python's %e, %f and %g, which are C's.
std::string float_digits(double value, const Spec& spec, char type) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return "inf";
  if (type == 0) {
    if (!spec.precision) return float_text(value);
    type = 'g';
  }
  const char plain_format[] = {'%', '.', '*', type, 0};
  const char alternate_format[] = {'%', '#', '.', '*', type, 0};
  std::string text(400 + static_cast<size_t>(spec.precision.value_or(6)), 0);
  const int size =
      std::snprintf(text.data(), text.size(), spec.alternate ? alternate_format : plain_format,
                    static_cast<int>(spec.precision.value_or(6)), value);
  text.resize(static_cast<size_t>(size));
  return text;
}

void group_thousands(std::string& digits, char separator) {
  const size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
  for (size_t i = end; i > 3;) digits.insert(i -= 3, 1, separator);
}

Text pad(Text text, const Spec& spec, char align, size_t sign_size) {
  if (spec.width > kMaxWidth) raise("a width of ", spec.width, " is too large");
  const auto width = static_cast<size_t>(spec.width);
  if (text.size() >= width) return text;
  const size_t missing = width - text.size();
  const size_t before = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  if (align == '=') return text.insert(sign_size, missing, spec.fill);
  text.insert(0, before, spec.fill);
  text.append(missing - before, spec.fill);
  return text;
}

Text format_number(const Value& value, const Spec& spec) {
  char type = spec.type;
  const bool is_float =
      value.is(Kind::real) || (type != 0 && std::string("eEfFgG%").find(type) != std::string::npos);
  std::string digits, prefix;
  bool negative = false;
  if (is_float) {
    double number = value.number();
    negative = std::signbit(number) && !std::isnan(number);
    if (type == '%') number *= 100;
    if (std::string("\0eEfFgG%", 8).find(type) == std::string::npos)
      raise("format '", std::string(1, type), "' does not fit a float");
    digits = float_digits(std::abs(number), spec, type == '%' ? 'f' : type);
    if (type == '%') digits += '%';
  } else {
    if (spec.precision) raise("a precision does not fit an integer");
    const int64_t number = value.integer();
    negative = number < 0;
    const uint64_t size = negative ? -static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
    switch (type) {
      case 0:
      case 'd':
      case 'n':
        digits = digits_in(size, 10);
        break;
      case 'x':
      case 'X':
        digits = digits_in(size, 16);
        if (spec.alternate) prefix = "0x";
        break;
      case 'o':
        digits = digits_in(size, 8);
        if (spec.alternate) prefix = "0o";
        break;
      case 'b':
        digits = digits_in(size, 2);
        if (spec.alternate) prefix = "0b";
        break;
      case 'c':
        if (number < 0 || number > 0x10FFFF || (number >= 0xD800 && number < 0xE000))
          raise("no character has the number ", number);
        return pad(Text(1, static_cast<char32_t>(number)), spec, spec.align ? spec.align : '<', 0);
      default:
        raise("format '", std::string(1, type), "' does not fit an integer");
    }
    if (type == 'X')
      for (std::string* part : {&digits, &prefix})
        for (char& c : *part) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  }
  if (spec.grouping != 0) group_thousands(digits, spec.grouping);
  std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  sign += prefix;
  return pad(decode(sign + digits), spec, spec.align ? spec.align : '>', sign.size());
}

Text format_text(Text text, const Spec& spec) {
  if (spec.precision && static_cast<size_t>(*spec.precision) < text.size())
    text.resize(static_cast<size_t>(*spec.precision));
  return pad(std::move(text), spec, spec.align ? spec.align : '<', 0);
}

// Every non-ASCII character of a repr as an escape: %a and !a.
Text ascii_of(Budget& b, const Value& value) {
  Text text;
  for (char32_t c : repr(b, value)) {
    if (plain(c) < 0x80) {
      text += c;
      continue;
    }
    char escape[16];
    std::snprintf(escape, sizeof escape,
                  plain(c) < 0x100     ? "\\x%02x"
                  : plain(c) < 0x10000 ? "\\u%04x"
                                       : "\\U%08x",
                  static_cast<unsigned>(plain(c)));
    for (const char* e = escape; *e != 0; ++e) text += static_cast<char32_t>(*e) | (c & kInput);
  }
  return text;
}

// Reads a template's format text, character by character.
struct Reader {
  const Text& text;
  size_t at = 0;
  bool done() const { return at >= text.size(); }
  char32_t peek() const { return done() ? 0 : plain(text[at]); }
  bool take(char32_t c) {
    if (done() || peek() != c) return false;
    ++at;
    return true;
  }
  std::optional<int64_t> number() {
    if (peek() < '0' || peek() > '9') return std::nullopt;
    int64_t value = 0;
    for (; peek() >= '0' && peek() <= '9'; ++at) {
      value = value * 10 + static_cast<int64_t>(peek() - '0');
      if (value > kMaxWidth) raise("a number in a format is above ", kMaxWidth);
    }
    return value;
  }
};

Spec parse_spec(const Text& text) {
  Spec spec;
  Reader in{text};
  const auto is_align = [](char32_t c) { return c == '<' || c == '>' || c == '=' || c == '^'; };
  if (text.size() > 1 && is_align(plain(text[1]))) {
    spec.fill = text[0];
    spec.align = static_cast<char>(plain(text[1]));
    in.at = 2;
  } else if (is_align(in.peek())) {
    spec.align = static_cast<char>(in.peek());
    ++in.at;
  }
  if (in.peek() == '+' || in.peek() == '-' || in.peek() == ' ')
    spec.sign = static_cast<char>(plain(text[in.at++]));
  spec.alternate = in.take('#');
  if (in.take('0') && spec.align == 0) {
    spec.fill = '0';
    spec.align = '=';
  }
  spec.width = in.number().value_or(0);
  if (in.peek() == ',' || in.peek() == '_') spec.grouping = static_cast<char>(plain(text[in.at++]));
  if (in.take('.')) {
    spec.precision = in.number();
    if (!spec.precision) raise("a format lacks its precision behind '.'");
  }
  if (!in.done() && in.peek() < 0x80) spec.type = static_cast<char>(plain(text[in.at++]));
  if (!in.done()) raise("invalid format specification '", encode(text), "'");
  return spec;
}

Text format_value(Budget& b, const Value& value, const Text& spec_text) {
  if (spec_text.empty()) return str(b, value);
  const Spec spec = parse_spec(spec_text);
  if (value.is_string()) {
    if ((spec.type != 0 && spec.type != 's') || spec.align == '=')
      raise("invalid format specification '", encode(spec_text), "' for a string");
    return format_text(value.text(), spec);
  }
  if (value.is(Kind::boolean) && spec.type == 0) return format_text(str(b, value), spec);
  if (value.is_number()) return format_number(value, spec);
  raise("unsupported format specification for ", type_name(value));
}

// The fields of a format string; `next` numbers those without a name.
class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Arguments& arguments)
      : runtime_(runtime), arguments_(arguments) {}

  Text format(const Text& text, int nesting) {
    if (nesting == 0) raise("format fields are nested too deeply");
    Text result;
    Reader in{text};
    while (!in.done()) {
      const char32_t c = text[in.at++];
      if (plain(c) == '{' && !in.take('{')) {
        result += field(in, nesting);
      } else {
        if (plain(c) == '}' && !in.take('}')) raise("single '}' encountered in format string");
        result += c;
      }
    }
    return result;
  }

 private:
  Text field(Reader& in, int nesting) {
    Text name, spec;
    char32_t conversion = 0;
    while (!in.done() && in.peek() != '}' && in.peek() != '!' && in.peek() != ':') {
      if (in.peek() == '{') raise("unexpected '{' in field name");
      if (in.peek() == '[')
        while (!in.done() && in.peek() != ']') name += in.text[in.at++];
      if (!in.done()) name += in.text[in.at++];
    }
    if (in.take('!')) {
      conversion = in.peek();
      ++in.at;
    }
    if (in.take(':'))
      for (int open = 0; !in.done() && (open > 0 || in.peek() != '}'); ++in.at) {
        open += in.peek() == '{' ? 1 : in.peek() == '}' ? -1 : 0;
        spec += in.text[in.at];
      }
    if (!in.take('}')) raise("expected '}' before end of format string");
    Value value = look_up(name);
    Budget& b = runtime_.budget();
    if (conversion == 's') value = str(b, value);
    if (conversion == 'r') value = repr(b, value);
    if (conversion == 'a') value = ascii_of(b, value);
    return format_value(b, value, spec.empty() ? spec : format(spec, nesting - 1));
  }

  Value look_up(const Text& name) {
    Reader in{name};
    Text first;
    while (!in.done() && in.peek() != '.' && in.peek() != '[') first += name[in.at++];
    Value value = start(first);
    while (!in.done()) {
      const bool attribute = in.take('.');
      if (!attribute) ++in.at;  // [
      Text part;
      while (!in.done() && (attribute ? in.peek() != '.' && in.peek() != '[' : in.peek() != ']'))
        part += name[in.at++];
      if (part.empty()) raise("empty attribute in format string");
      if (!attribute && !in.take(']')) raise("missing ']' in format string");
      Reader digits{part};
      const std::optional<int64_t> index = digits.number();
      if (attribute)
        value = runtime_.attribute(value, encode(part));
      else
        value = runtime_.item(value, index && digits.done() ? Value(*index) : Value(part));
    }
    return value;
  }

  Value start(const Text& name) {
    Reader digits{name};
    std::optional<int64_t> index = digits.number();
    if (name.empty()) index = next_++;
    if (index && digits.done()) {
      if (static_cast<size_t>(*index) >= arguments_.positional.size())
        raise("replacement index ", *index, " out of range for positional arguments");
      return arguments_.positional[static_cast<size_t>(*index)];
    }
    const std::string wanted = encode(name);
    for (const auto& [key, value] : arguments_.named)
      if (key == wanted) return value;
    raise("the format has no argument '", wanted, "'");
  }

  Runtime& runtime_;
  const Arguments& arguments_;
  int64_t next_ = 0;
};

}  // namespace

Value brace_format(Runtime& runtime, const Value& format, const Arguments& arguments) {
  Text text = BraceFormatter(runtime, arguments).format(format.text(), 2);
  runtime.budget().charge_items(text.size());
  return Value(std::move(text), format.safe());
}

Value percent_format(Budget& b, const Value& format, const Value& values) {
  const Text& text = format.text();
  const bool many = values.is(Kind::tuple);
  size_t used = 0;
  bool by_name = false;
  const auto next = [&]() -> Value {
    if (many ? used >= values.items().size() : used > 0)
      raise("not enough arguments for format string");
    return many ? values.items()[used++] : (++used, values);
  };
  Text result;
  Reader in{text};
  while (!in.done()) {
    const char32_t c = text[in.at++];
    if (plain(c) != '%') {
      result += c;
      continue;
    }
    std::optional<Value> value;
    if (in.take('(')) {
      Text name;
      for (int open = 1; !in.done(); ++in.at) {
        open += in.peek() == '(' ? 1 : in.peek() == ')' ? -1 : 0;
        if (open == 0) break;
        name += text[in.at];
      }
      if (!in.take(')')) raise("incomplete format key");
      if (!values.is(Kind::dict)) raise("format requires a mapping");
      value = item(b, values, name);
      if (!value) raise("the format has no argument '", encode(name), "'");
      by_name = true;
    }
    Spec spec;
    bool left = false, zero = false;
    for (bool more = true; more;) {
      if (in.take('-'))
        left = true;
      else if (in.take('0'))
        zero = true;
      else if (in.take('+'))
        spec.sign = '+';
      else if (in.take(' '))
        spec.sign = spec.sign == '+' ? '+' : ' ';
      else if (in.take('#'))
        spec.alternate = true;
      else
        more = false;
    }
    const auto size = [&]() -> std::optional<int64_t> {
      if (!in.take('*')) return in.number();
      const int64_t given = expect_integer(next(), "the * of a format");
      if (given < -kMaxWidth || given > kMaxWidth) raise("a width of ", given, " is too large");
      return given;
    };
    spec.width = size().value_or(0);
    if (spec.width < 0) {
      left = true;
      spec.width = -spec.width;
    }
    if (in.take('.')) spec.precision = std::max<int64_t>(size().value_or(0), 0);
    if (in.take('h') || in.take('l') || in.take('L')) {
      // C's length letters mean nothing.
    }
    if (in.done()) raise("incomplete format");
    const char32_t type = plain(text[in.at++]);
    if (type == '%') {
      result += c;
      continue;
    }
    if (!value) value = next();
    spec.align = left ? '<' : '>';
    switch (type) {
      case 's':
        result += format_text(format.safe() ? escape(b, *value).text() : str(b, *value), spec);
        break;
      case 'r':
        result += format_text(repr(b, *value), spec);
        break;
      case 'a':
        result += format_text(ascii_of(b, *value), spec);
        break;
      case 'c':
        if (value->is_string() && value->text().size() == 1) {
          result += format_text(value->text(), spec);
        } else {
          spec.type = 'c';
          result += format_number(Value(expect_integer(*value, "%c")), spec);
        }
        break;
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G': {
        const std::string letter(1, static_cast<char>(type));
        if (value->is_undefined()) raise(value->message());
        if (!value->is_number())
          raise("%", letter, " format: a number is required, not ", type_name(*value));
        const bool integer = std::string("diuxXo").find(letter) != std::string::npos;
        spec.type = letter == "i" || letter == "u" ? 'd' : letter[0];
        if (zero && !left) {
          spec.fill = '0';
          spec.align = '=';
        }
        Value number = *value;
        if (integer && number.is(Kind::real)) {
          if (spec.type != 'd') raise("%", letter, " format: an integer is required, not float");
          if (!(std::abs(number.real()) < 0x1p63))
            raise("%d format: ", float_text(number.real()), " is no 64-bit integer");
          number = static_cast<int64_t>(number.real());
        }
        if (integer && spec.precision) {
          Spec exact = spec;
          exact.width = *spec.precision + (number.integer() < 0 || spec.sign != '-');
          exact.fill = '0';
          exact.align = '=';
          exact.precision.reset();
          spec.fill = ' ';
          result += pad(format_number(number, exact), spec, left ? '<' : '>', 0);
        } else {
          result += format_number(number, spec);
        }
        break;
      }
      default:
        raise("unsupported format character '", encode(Text(1, type)), "'");
    }
  }
  const bool all = by_name || values.is(Kind::dict) || values.is_undefined() ||
                   (many ? used == values.items().size() : used > 0);
  if (!all && !values.is(Kind::list)) raise("not all arguments converted during string formatting");
  b.charge_items(result.size());
  return Value(std::move(result), format.safe());
}

}  // namespace stemma::jinja
