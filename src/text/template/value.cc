#include "text/template/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace stemma::jinja {
namespace {

// A dict is searched from end to end as long as it is small.
constexpr size_t kIndexAbove = 8;

void deepen(Object& object, const Value& child) {
  object.depth = std::max(object.depth, child.depth() + 1);
  if (object.depth > kMaxDepth) raise("values are nested more than ", kMaxDepth, " deep");
}

}  // namespace

Value::Value(Text text, bool safe) : kind_(Kind::string) {
  auto string = std::make_shared<String>();
  string->text = std::move(text);
  string->safe = safe;
  object_ = std::move(string);
}

Value Value::undefined(std::string message) {
  auto object = std::make_shared<Undefined>();
  object->message = std::move(message);
  return {Kind::undefined, std::move(object)};
}

Value Value::sequence(Budget& b, Kind kind, std::vector<Value>& items) {
  b.charge_items(items.size());
  auto object = std::make_shared<Sequence>();
  for (const Value& item : items) deepen(*object, item);
  object->items = std::move(items);
  return {kind, std::move(object)};
}

Value Value::iterator(Budget& b, std::vector<Value> items) {
  b.charge_items(items.size());
  auto object = std::make_shared<Iterator>();
  for (const Value& item : items) deepen(*object, item);
  object->items = std::move(items);
  return {Kind::iterator, std::move(object)};
}

Value Value::dict(Dict dict) { return {Kind::dict, std::make_shared<Dict>(std::move(dict))}; }

Value Value::special(std::shared_ptr<Special> object) { return {Kind::object, std::move(object)}; }

Value Value::from_json(Budget& b, const Json& json, bool input) {
  switch (json.kind()) {
    case Json::Kind::null:
      return {};
    case Json::Kind::boolean:
      return json.as_bool();
    case Json::Kind::number: {
      const std::string& text = json.number_text();
      if (text.find_first_of(".eE") != std::string::npos) {
        double value = 0;
        // Out of range: Python reads an infinity or a zero.
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc()) value = std::strtod(text.c_str(), nullptr);
        return value;
      }
      int64_t value = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error == std::errc()) return value;
      auto big = std::make_shared<BigInteger>();
      big->digits = text;
      return {Kind::big, std::move(big)};
    }
    case Json::Kind::string:
      b.charge_items(json.as_string().size());
      return decode(json.as_string(), input);
    case Json::Kind::array: {
      std::vector<Value> items;
      for (const Json& item : json.items()) items.push_back(from_json(b, item, input));
      return list(b, std::move(items));
    }
    case Json::Kind::object: {
      Dict dict;
      for (const auto& [key, item] : json.members())
        dict.set(b, decode(key, input), from_json(b, item, input));
      return Value::dict(std::move(dict));
    }
  }
  return {};
}

const std::string& Value::message() const {
  return static_cast<const Undefined&>(*object_).message;
}
const std::string& Value::digits() const { return static_cast<const BigInteger&>(*object_).digits; }
const Text& Value::text() const { return static_cast<const String&>(*object_).text; }
bool Value::safe() const { return static_cast<const String&>(*object_).safe; }
const std::vector<Value>& Value::items() const {
  return static_cast<const Sequence&>(*object_).items;
}
bool Value::is_group() const {
  return kind_ == Kind::tuple && static_cast<const Sequence&>(*object_).group;
}
const Dict& Value::dict() const { return static_cast<const Dict&>(*object_); }
Iterator& Value::iterator() const { return static_cast<Iterator&>(*object_); }
const View& Value::view() const { return static_cast<const View&>(*object_); }
const Range& Value::range() const { return static_cast<const Range&>(*object_); }
Special* Value::special() const {
  return kind_ == Kind::object ? static_cast<Special*>(object_.get()) : nullptr;
}

// ---- dict ----

size_t Dict::place(Budget& b, const Value& key, uint64_t key_hash) const {
  if (items.size() <= kIndexAbove) {
    size_t i = 0;
    while (i < items.size() && !equal(b, items[i].first, key)) ++i;
    return i;
  }
  const auto [begin, end] = index_.equal_range(key_hash);
  for (auto it = begin; it != end; ++it)
    if (equal(b, items[it->second].first, key)) return it->second;
  return items.size();
}

const Value* Dict::find(Budget& b, const Value& key) const {
  const size_t at = place(b, key, hash(b, key));
  return at == items.size() ? nullptr : &items[at].second;
}

const Value* Dict::find(std::string_view ascii) const {
  for (const auto& [key, value] : items)
    if (key.is_string() && jinja::equal(key.text(), ascii)) return &value;
  return nullptr;
}

void Dict::set(Budget& b, Value key, Value value) {
  b.charge(1);
  const uint64_t key_hash = hash(b, key);
  deepen(*this, key);
  deepen(*this, value);
  const size_t at = place(b, key, key_hash);
  if (at < items.size()) {
    items[at].second = std::move(value);
    return;
  }
  items.emplace_back(std::move(key), std::move(value));
  index_.emplace(key_hash, at);
}

int64_t Range::size() const {
  if (step > 0) return start < stop ? (stop - start - 1) / step + 1 : 0;
  return start > stop ? (start - stop - 1) / -step + 1 : 0;
}

// ---- arguments ----

Bound::Bound(std::string_view callee, const Arguments& arguments,
             std::initializer_list<std::string_view> names, size_t required)
    : callee_(callee), names_(names), values_(names.size(), nullptr) {
  if (arguments.positional.size() > names.size())
    raise(callee, " takes at most ", names.size(), " arguments, got ", arguments.positional.size());
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(names_.begin(), names_.end(), name);
    if (found == names_.end()) raise(callee, " got an unexpected keyword argument '", name, "'");
    const Value*& slot = values_[static_cast<size_t>(found - names_.begin())];
    if (slot != nullptr) raise(callee, " got two values for argument '", name, "'");
    slot = &value;
  }
  for (size_t i = 0; i < required; ++i)
    if (values_[i] == nullptr) raise(callee, " lacks the argument '", names_[i], "'");
}

bool Bound::flag(size_t i, bool fallback) const {
  return values_[i] == nullptr ? fallback : truth(*values_[i]);
}

int64_t Bound::integer(size_t i, int64_t fallback) const {
  return values_[i] == nullptr ? fallback
                               : expect_integer(*values_[i], cat(callee_, ": ", names_[i]));
}

Value Special::call(Runtime&, const Arguments&) { raise("'", type(), "' object is not callable"); }
std::optional<Value> Special::attribute(Runtime&, std::string_view) { return std::nullopt; }

// ---- properties ----

std::string type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
      return "Undefined";
    case Kind::none:
      return "NoneType";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
    case Kind::big:
      return "int";
    case Kind::real:
      return "float";
    case Kind::string:
      return value.safe() ? "Markup" : "str";
    case Kind::list:
      return "list";
    case Kind::tuple:
      return "tuple";
    case Kind::dict:
      return "dict";
    case Kind::iterator:
      return "generator";
    case Kind::view:
      return value.view().part == View::Part::keys     ? "dict_keys"
             : value.view().part == View::Part::values ? "dict_values"
                                                       : "dict_items";
    case Kind::range:
      return "range";
    case Kind::object:
      return value.special()->type();
  }
  return {};
}

bool truth(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
    case Kind::integer:
      return value.integer() != 0;
    case Kind::real:
      return value.real() != 0;
    case Kind::string:
      return !value.text().empty();
    case Kind::list:
    case Kind::tuple:
      return !value.items().empty();
    case Kind::dict:
      return !value.dict().items.empty();
    case Kind::view:
      return !value.view().dict.dict().items.empty();
    case Kind::range:
      return value.range().size() != 0;
    case Kind::big:
    case Kind::iterator:
    case Kind::object:
      return true;
  }
  return true;
}

bool equal(Budget& b, const Value& x, const Value& y) {
  if (x.is_number() && y.is_number()) {
    if (x.is_integral() && y.is_integral()) return x.integer() == y.integer();
    // An integer that a double cannot hold equals no double.
    const Value& i = x.is_integral() ? x : y;
    const double d = x.is_integral() ? y.number() : x.number();
    if (!i.is_integral()) return x.real() == y.real();
    return d >= -0x1p63 && d < 0x1p63 && d == std::floor(d) &&
           static_cast<int64_t>(d) == i.integer();
  }
  if (x.kind() != y.kind()) return false;
  switch (x.kind()) {
    case Kind::undefined:
    case Kind::none:
      return true;
    case Kind::big:
      return x.digits() == y.digits();
    case Kind::string:
      b.charge_items(std::min(x.text().size(), y.text().size()));
      return equal(x.text(), y.text());
    case Kind::list:
    case Kind::tuple: {
      if (x.identity() == y.identity()) return true;
      if (x.items().size() != y.items().size()) return false;
      b.charge(1 + x.items().size());
      for (size_t i = 0; i < x.items().size(); ++i)
        if (!equal(b, x.items()[i], y.items()[i])) return false;
      return true;
    }
    case Kind::dict: {
      if (x.identity() == y.identity()) return true;
      if (x.dict().items.size() != y.dict().items.size()) return false;
      for (const auto& [key, value] : x.dict().items) {
        b.charge(1);
        const Value* other = y.dict().find(b, key);
        if (other == nullptr || !equal(b, value, *other)) return false;
      }
      return true;
    }
    case Kind::range: {
      const Range &p = x.range(), &q = y.range();
      return p.size() == q.size() &&
             (p.size() == 0 || (p.start == q.start && (p.size() == 1 || p.step == q.step)));
    }
    default:
      return x.identity() == y.identity();
  }
}

uint64_t hash(Budget& b, const Value& value) {
  switch (value.kind()) {
    case Kind::boolean:
    case Kind::integer:
      return std::hash<double>()(static_cast<double>(value.integer()));
    case Kind::real:
      return std::hash<double>()(value.real());
    case Kind::big:
      return std::hash<std::string>()(value.digits());
    case Kind::string:
      b.charge_items(value.text().size());
      return hash(value.text());
    case Kind::tuple: {
      uint64_t h = 0x345678;
      for (const Value& item : value.items()) {
        b.charge(1);
        h = h * 1000003 + hash(b, item);
      }
      return h;
    }
    case Kind::undefined:
    case Kind::none:
    case Kind::range:
      return static_cast<uint64_t>(value.kind());
    case Kind::object:
    case Kind::iterator:
      return std::hash<const void*>()(value.identity());
    default:
      raise("unhashable type: '", type_name(value), "'");
  }
}

const Text& expect_text(const Value& value, std::string_view what) {
  if (value.is_undefined()) raise(value.message());
  if (!value.is_string()) raise(what, " must be a string, not ", type_name(value));
  return value.text();
}

int64_t expect_integer(const Value& value, std::string_view what) {
  if (value.is_undefined()) raise(value.message());
  if (!value.is_integral()) raise(what, " must be an integer, not ", type_name(value));
  return value.integer();
}

}  // namespace stemma::jinja
