#include "text/template/operators.h"

#include <algorithm>
#include <cmath>

#include "text/template/format.h"
#include "text/template/print.h"

namespace stemma::jinja {
namespace {

constexpr const char* kSymbols[] = {"+", "-", "*", "/", "//", "%", "**"};

[[noreturn]] void unsupported(BinaryOp op, const Value& x, const Value& y) {
  for (const Value* v : {&x, &y})
    if (v->is_undefined()) raise(v->message());
  raise("unsupported operand types for ", kSymbols[static_cast<int>(op)], ": '", type_name(x),
        "' and '", type_name(y), "'");
}

// `compute` is one of the builtins that tell an overflow.
template <class Compute>
int64_t checked(Compute compute, int64_t x, int64_t y) {
  int64_t result = 0;
  if (compute(x, y, &result)) raise("an integer result does not fit 64 bits");
  return result;
}
int64_t add(int64_t x, int64_t y) {
  return checked([](auto a, auto b, auto* r) { return __builtin_add_overflow(a, b, r); }, x, y);
}
int64_t subtract(int64_t x, int64_t y) {
  return checked([](auto a, auto b, auto* r) { return __builtin_sub_overflow(a, b, r); }, x, y);
}
int64_t multiply(int64_t x, int64_t y) {
  return checked([](auto a, auto b, auto* r) { return __builtin_mul_overflow(a, b, r); }, x, y);
}

Value power(const Value& x, const Value& y) {
  if (!x.is_integral() || !y.is_integral() || y.integer() < 0) {
    if (x.number() == 0 && y.number() < 0) raise("0.0 cannot be raised to a negative power");
    const double result = std::pow(x.number(), y.number());
    if (std::isnan(result) && !std::isnan(x.number()) && !std::isnan(y.number()))
      raise("a negative number has no real power ", float_text(y.number()));
    return result;
  }
  int64_t base = x.integer(), result = 1;
  if (base == 0 || base == 1) return y.integer() == 0 ? int64_t{1} : base;
  if (base == -1) return y.integer() % 2 == 0 ? int64_t{1} : int64_t{-1};
  for (int64_t i = 0; i < y.integer(); ++i) result = multiply(result, base);
  return result;
}

Value arithmetic(BinaryOp op, const Value& x, const Value& y) {
  const bool integers = x.is_integral() && y.is_integral();
  const int64_t i = x.integer(), j = y.integer();
  const double d = x.number(), e = y.number();
  switch (op) {
    case BinaryOp::add:
      if (!integers) return d + e;
      return add(i, j);
    case BinaryOp::sub:
      if (!integers) return d - e;
      return subtract(i, j);
    case BinaryOp::mul:
      if (!integers) return d * e;
      return multiply(i, j);
    case BinaryOp::pow:
      return power(x, y);
    default:
      break;
  }
  if (e == 0) raise("division by zero");
  if (op == BinaryOp::div) return d / e;
  if (integers) {
    if (j == -1) {
      if (op == BinaryOp::mod) return int64_t{0};
      return subtract(0, i);
    }
    const int64_t remainder = i % j;
    const bool below = remainder != 0 && (remainder < 0) != (j < 0);
    if (op == BinaryOp::mod) return below ? remainder + j : remainder;
    return below ? i / j - 1 : i / j;
  }
  double remainder = std::fmod(d, e);
  if (remainder != 0 && (remainder < 0) != (e < 0)) remainder += e;
  if (remainder == 0) remainder = std::copysign(0.0, e);
  if (op == BinaryOp::mod) return remainder;
  const double quotient = (d - remainder) / e;
  const double floored = std::floor(quotient);
  return quotient == 0 ? std::copysign(0.0, d / e)
                       : floored + (quotient - floored > 0.5 ? 1.0 : 0.0);
}

Value repeat(Budget& b, const Value& x, int64_t times) {
  const size_t size = x.is_string() ? x.text().size() : x.items().size();
  const auto count = static_cast<uint64_t>(std::max<int64_t>(times, 0));
  if (size != 0 && count > (uint64_t{1} << 40) / size) raise("a repetition is too long");
  b.charge_items(size * count);
  if (x.is_string()) {
    Text text;
    for (uint64_t i = 0; size != 0 && i < count; ++i) text += x.text();
    return Value(std::move(text), x.safe());
  }
  std::vector<Value> items;
  for (uint64_t i = 0; size != 0 && i < count; ++i)
    items.insert(items.end(), x.items().begin(), x.items().end());
  return x.is(Kind::list) ? Value::list(b, std::move(items)) : Value::tuple(b, std::move(items));
}

// Below, at or above 0; NaN compares as neither, which `ordered` tells.
int order(Budget& b, const Value& x, const Value& y, bool& ordered) {
  ordered = true;
  if (x.is_number() && y.is_number()) {
    if (x.is_integral() && y.is_integral())
      return x.integer() < y.integer() ? -1 : x.integer() > y.integer();
    ordered = !std::isnan(x.number()) && !std::isnan(y.number());
    return x.number() < y.number() ? -1 : x.number() > y.number();
  }
  if (x.is_string() && y.is_string()) {
    b.charge_items(std::min(x.text().size(), y.text().size()));
    return compare(x.text(), y.text());
  }
  if (x.kind() == y.kind() && (x.is(Kind::list) || x.is(Kind::tuple))) {
    const size_t n = std::min(x.items().size(), y.items().size());
    for (size_t i = 0; i < n; ++i) {
      b.charge(1);
      if (!equal(b, x.items()[i], y.items()[i]))
        return order(b, x.items()[i], y.items()[i], ordered);
    }
    return x.items().size() < y.items().size() ? -1 : x.items().size() > y.items().size();
  }
  for (const Value* v : {&x, &y})
    if (v->is_undefined()) raise(v->message());
  raise("values of type '", type_name(x), "' and '", type_name(y), "' have no order");
}

// Start, step and count of a slice over `size` items; Python's slice.indices.
struct Walk {
  int64_t start, step, count;
};
std::optional<Walk> walk(const SliceBounds& bounds, int64_t size) {
  for (const Value* v : {&bounds.start, &bounds.stop, &bounds.step})
    if (!v->is_none() && !v->is_integral()) return std::nullopt;
  const int64_t step = bounds.step.is_none() ? 1 : bounds.step.integer();
  if (step == 0) raise("slice step cannot be zero");
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
  const auto clip = [&](const Value& v, int64_t absent) {
    if (v.is_none()) return absent;
    return v.integer() < 0 ? std::max(v.integer() < -size ? low : v.integer() + size, low)
                           : std::min(v.integer(), high);
  };
  const int64_t start = clip(bounds.start, step > 0 ? low : high);
  const int64_t stop = clip(bounds.stop, step > 0 ? high : low);
  int64_t count = 0;
  if (step > 0 && start < stop) count = (stop - start - 1) / step + 1;
  if (step < 0 && start > stop) count = step == INT64_MIN ? 1 : (start - stop - 1) / -step + 1;
  return Walk{start, step, count};
}

}  // namespace

Value binary(Budget& b, BinaryOp op, const Value& x, const Value& y) {
  b.charge(1);
  if (op == BinaryOp::mod && x.is_string()) return percent_format(b, x, y);
  if (x.is_number() && y.is_number()) return arithmetic(op, x, y);
  if (op == BinaryOp::add && x.is_string() && y.is_string()) {
    b.charge_items(x.text().size() + y.text().size());
    // Markup escapes what is joined to it.
    if (x.safe() || y.safe()) return Value(escape(b, x).text() + escape(b, y).text(), true);
    return x.text() + y.text();
  }
  const auto is_sequence = [](const Value& v) { return v.is(Kind::list) || v.is(Kind::tuple); };
  if (op == BinaryOp::add && is_sequence(x) && x.kind() == y.kind()) {
    std::vector<Value> items = x.items();
    items.insert(items.end(), y.items().begin(), y.items().end());
    return x.is(Kind::list) ? Value::list(b, std::move(items)) : Value::tuple(b, std::move(items));
  }
  if (op == BinaryOp::mul) {
    if ((x.is_string() || is_sequence(x)) && y.is_integral()) return repeat(b, x, y.integer());
    if ((y.is_string() || is_sequence(y)) && x.is_integral()) return repeat(b, y, x.integer());
  }
  unsupported(op, x, y);
}

Value negate(const Value& x, bool minus) {
  if (x.is_undefined()) raise(x.message());
  if (x.is(Kind::real)) return minus ? -x.real() : x.real();
  if (!x.is_integral()) raise("bad operand type for unary ", minus ? "-" : "+", ": ", type_name(x));
  return minus ? subtract(0, x.integer()) : x.integer();
}

bool compare(Budget& b, CompareOp op, const Value& x, const Value& y) {
  b.charge(1);
  bool ordered = true;
  switch (op) {
    case CompareOp::eq:
      return equal(b, x, y);
    case CompareOp::ne:
      return !equal(b, x, y);
    case CompareOp::in:
      return contains(b, y, x);
    case CompareOp::not_in:
      return !contains(b, y, x);
    case CompareOp::lt:
      return order(b, x, y, ordered) < 0 && ordered;
    case CompareOp::gt:
      return order(b, x, y, ordered) > 0 && ordered;
    case CompareOp::le:
      return order(b, x, y, ordered) <= 0 && ordered;
    case CompareOp::ge:
      return order(b, x, y, ordered) >= 0 && ordered;
  }
  return false;
}

bool less(Budget& b, const Value& x, const Value& y) { return compare(b, CompareOp::lt, x, y); }

bool contains(Budget& b, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::string:
      b.charge_items(container.text().size());
      return seek(container.text(), expect_text(item, "the left side of 'in' with a string")) !=
             Text::npos;
    case Kind::dict:
      return container.dict().find(b, item) != nullptr;
    case Kind::view:
      if (container.view().part == View::Part::keys)
        return container.view().dict.dict().find(b, item) != nullptr;
      break;
    default:
      break;
  }
  if (!is_iterable(container))
    raise("argument of type '", type_name(container), "' is not iterable");
  for (const Value& candidate : items_of(b, container))
    if (equal(b, candidate, item)) return true;
  return false;
}

std::vector<Value> items_of(Budget& b, const Value& value) {
  std::vector<Value> items;
  switch (value.kind()) {
    case Kind::undefined:
      break;
    case Kind::string:
      for (char32_t c : value.text()) items.push_back(Text(1, c));
      break;
    case Kind::list:
    case Kind::tuple:
      items = value.items();
      break;
    case Kind::dict:
      for (const auto& member : value.dict().items) items.push_back(member.first);
      break;
    case Kind::view:
      for (const auto& [key, item] : value.view().dict.dict().items)
        items.push_back(value.view().part == View::Part::keys     ? key
                        : value.view().part == View::Part::values ? item
                                                                  : Value::tuple(b, {key, item}));
      break;
    case Kind::range: {
      const Range& range = value.range();
      for (int64_t i = 0; i < range.size(); ++i) items.push_back(range.start + i * range.step);
      break;
    }
    case Kind::iterator: {
      Iterator& iterator = value.iterator();
      items.assign(iterator.items.begin() + static_cast<ptrdiff_t>(iterator.at),
                   iterator.items.end());
      iterator.at = iterator.items.size();
      break;
    }
    default:
      raise("'", type_name(value), "' object is not iterable");
  }
  // A character or a number becomes a value of its own, which costs more than a copy.
  if (value.is_string() || value.is(Kind::range)) b.charge(items.size());
  b.charge_items(items.size());
  return items;
}

bool is_iterable(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
    case Kind::string:
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
    case Kind::view:
    case Kind::range:
    case Kind::iterator:
      return true;
    default:
      return false;
  }
}

std::optional<int64_t> length_of(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
      return 0;
    case Kind::string:
      return static_cast<int64_t>(value.text().size());
    case Kind::list:
    case Kind::tuple:
      return static_cast<int64_t>(value.items().size());
    case Kind::dict:
      return static_cast<int64_t>(value.dict().items.size());
    case Kind::view:
      return static_cast<int64_t>(value.view().dict.dict().items.size());
    case Kind::range:
      return value.range().size();
    default:
      return std::nullopt;
  }
}

int64_t length(const Value& value) {
  const std::optional<int64_t> n = length_of(value);
  if (!n) raise("object of type '", type_name(value), "' has no len()");
  return *n;
}

std::optional<Value> item(Budget& b, const Value& x, const Value& key) {
  b.charge(1);
  if (x.is(Kind::dict)) {
    if (key.is(Kind::list) || key.is(Kind::dict)) return std::nullopt;  // unhashable
    const Value* found = x.dict().find(b, key);
    return found == nullptr ? std::nullopt : std::optional(*found);
  }
  const std::optional<int64_t> size = length_of(x);
  if (x.is(Kind::view) || !size || !key.is_integral()) return std::nullopt;
  const int64_t i = key.integer() < 0 ? key.integer() + *size : key.integer();
  if (i < 0 || i >= *size) return std::nullopt;
  const auto at = static_cast<size_t>(i);
  if (x.is_string()) return Value(Text(1, x.text()[at]), x.safe());
  if (x.is(Kind::range)) return x.range().start + i * x.range().step;
  return x.items()[at];
}

std::optional<Value> slice(Budget& b, const Value& x, const SliceBounds& bounds) {
  if (x.is_undefined()) raise(x.message());
  const std::optional<int64_t> size = length_of(x);
  if (!size || x.is(Kind::view) || x.is(Kind::dict)) return std::nullopt;
  const std::optional<Walk> w = walk(bounds, *size);
  if (!w) return std::nullopt;
  b.charge_items(static_cast<uint64_t>(w->count));
  const auto at = [&](int64_t i) { return static_cast<size_t>(w->start + i * w->step); };
  if (x.is_string()) {
    Text text;
    text.reserve(static_cast<size_t>(w->count));
    for (int64_t i = 0; i < w->count; ++i) text += x.text()[at(i)];
    return Value(std::move(text), x.safe());
  }
  if (x.is(Kind::range)) {
    auto range = std::make_shared<Range>(x.range());
    range->start = x.range().start + w->start * x.range().step;
    range->step = x.range().step * w->step;
    range->stop = range->start + w->count * range->step;
    return Value(Kind::range, std::move(range));
  }
  std::vector<Value> items;
  for (int64_t i = 0; i < w->count; ++i) items.push_back(x.items()[at(i)]);
  return x.is(Kind::list) ? Value::list(b, std::move(items)) : Value::tuple(b, std::move(items));
}

Value escape(Budget& b, const Value& value) {
  if (value.is_string() && value.safe()) return value;
  Text text;
  for (char32_t c : str(b, value)) {
    const char* entity = nullptr;
    switch (plain(c)) {
      case '&':
        entity = "&amp;";
        break;
      case '<':
        entity = "&lt;";
        break;
      case '>':
        entity = "&gt;";
        break;
      case '"':
        entity = "&#34;";
        break;
      case '\'':
        entity = "&#39;";
        break;
      default:
        text += c;
        continue;
    }
    for (; *entity != 0; ++entity) text += static_cast<char32_t>(*entity) | (c & kInput);
  }
  b.charge_items(text.size());
  return Value(std::move(text), true);
}

}  // namespace stemma::jinja
