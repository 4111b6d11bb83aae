// Values of a template, as Python has them: undefined apart from none, tuples apart from lists,
// integers apart from floats, strings of code points, dicts in the order of insertion.
// Lists, tuples and dicts never change once made (the reference's sandbox refuses append, update
// and their like), so values can be shared freely. Integers have 64 bits; longer ones, which only
// the input can hold, are printed and compared but not calculated with.
// Everything that a hostile template could make expensive takes a Budget.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "text/template/chars.h"

namespace stemma::jinja {

// An error of a running template; whoever runs it knows the place and makes an Error of it.
struct Failure {
  std::string message;
};

template <class... Args>
[[noreturn]] void raise(const Args&... args) {
  throw Failure{cat(args...)};
}

// Steps that a rendering may still take. One step is about one operation, or 8 characters or items
// made, so that the budget bounds memory too.
class Budget {
 public:
  explicit Budget(uint64_t steps) : left_(steps) {}
  void charge(uint64_t steps) {
    if (steps > left_) raise("the template takes too many steps");
    left_ -= steps;
  }
  void charge_items(uint64_t items) { charge(1 + items / 8); }

 private:
  uint64_t left_;
};

enum class Kind : uint8_t {
  undefined,
  none,
  boolean,
  integer,
  real,
  big,  // an integer beyond 64 bits
  string,
  list,
  tuple,
  dict,
  iterator,  // what generators and reversed() give: read once, from front to back
  view,      // dict.keys(), values(), items()
  range,
  object,  // functions, macros, namespaces, loop
};

// What lives on the heap. `depth` is the nesting below it: bounded, since printing, comparing and
// destroying recurse.
struct Object {
  virtual ~Object() = default;
  int depth = 1;
};
inline constexpr int kMaxDepth = 300;

struct Undefined;
struct String;
struct Sequence;
struct Dict;
struct Iterator;
struct View;
struct Range;
struct Special;

class Value {
 public:
  Value() = default;  // none
  template <std::integral T>
  Value(T i)
      : kind_(std::same_as<T, bool> ? Kind::boolean : Kind::integer),
        integer_(static_cast<int64_t>(i)) {}
  Value(double d) : kind_(Kind::real), real_(d) {}
  Value(Text text, bool safe = false);
  Value(TextView text) : Value(Text(text)) {}
  Value(const char* ascii) : Value(decode(ascii)) {}
  Value(Kind kind, std::shared_ptr<Object> object) : kind_(kind), object_(std::move(object)) {}
  static Value undefined(std::string message);
  static Value tuple(Budget& b, std::vector<Value> items) {
    return sequence(b, Kind::tuple, items);
  }
  static Value list(Budget& b, std::vector<Value> items) { return sequence(b, Kind::list, items); }
  static Value iterator(Budget& b, std::vector<Value> items);
  static Value dict(Dict dict);
  static Value special(std::shared_ptr<Special> object);
  // Strings of the document are marked as input where `input`.
  static Value from_json(Budget& b, const Json& json, bool input);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_undefined() const { return kind_ == Kind::undefined; }
  bool is_none() const { return kind_ == Kind::none; }
  bool is_string() const { return kind_ == Kind::string; }
  bool is_integral() const { return kind_ == Kind::integer || kind_ == Kind::boolean; }
  bool is_number() const { return is_integral() || kind_ == Kind::real; }
  int depth() const { return object_ ? object_->depth : 0; }

  // Unchecked: the kind must be right.
  bool boolean() const { return integer_ != 0; }
  int64_t integer() const { return integer_; }
  double real() const { return real_; }
  double number() const { return kind_ == Kind::real ? real_ : static_cast<double>(integer_); }
  const std::string& message() const;  // of undefined
  const std::string& digits() const;   // of big
  const Text& text() const;
  bool safe() const;                        // of string: Markup
  const std::vector<Value>& items() const;  // list, tuple
  bool is_group() const;                    // a tuple of groupby: .grouper and .list
  const Dict& dict() const;
  Iterator& iterator() const;
  const View& view() const;
  const Range& range() const;
  Special* special() const;  // nullptr where it is not an object
  const Object* identity() const { return object_.get(); }
  const std::shared_ptr<Object>& shared() const { return object_; }

 private:
  static Value sequence(Budget& b, Kind kind, std::vector<Value>& items);

  Kind kind_ = Kind::none;
  union {
    int64_t integer_ = 0;
    double real_;
  };
  std::shared_ptr<Object> object_;
};

struct Undefined : Object {
  std::string message;
};
struct BigInteger : Object {
  std::string digits;
};
struct String : Object {
  Text text;
  bool safe = false;
};
struct Sequence : Object {
  std::vector<Value> items;
  bool group = false;
};

struct Dict : Object {
  std::vector<std::pair<Value, Value>> items;

  const Value* find(Budget& b, const Value& key) const;
  const Value* find(std::string_view ascii) const;
  void set(Budget& b, Value key, Value value);  // replaces or appends; refuses unhashable keys

 private:
  size_t place(Budget& b, const Value& key, uint64_t hash) const;  // items.size() where absent
  std::unordered_multimap<uint64_t, size_t> index_;                // hash of key to place
};

struct Iterator : Object {
  std::vector<Value> items;
  size_t at = 0;
};
struct View : Object {
  enum class Part : uint8_t { keys, values, items } part = Part::keys;
  Value dict;
};
struct Range : Object {
  int64_t start = 0, stop = 0, step = 1;
  int64_t size() const;
};

// Arguments of a call, and their binding to parameters by Python's rules.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};
class Bound {
 public:
  // The first `required` of `names` must be given.
  Bound(std::string_view callee, const Arguments& arguments,
        std::initializer_list<std::string_view> names, size_t required);
  const Value* operator[](size_t i) const { return values_[i]; }  // nullptr where not given
  const Value& at(size_t i) const { return *values_[i]; }
  bool flag(size_t i, bool fallback) const;
  int64_t integer(size_t i, int64_t fallback) const;

 private:
  std::string_view callee_;
  std::vector<std::string_view> names_;
  std::vector<const Value*> values_;
};

class Runtime;

// Objects with behaviour: functions, macros, namespaces, loop.
struct Special : Object {
  virtual std::string type() const = 0;  // Python's name of the type
  virtual std::string repr() const { return cat("<", type(), ">"); }
  virtual bool callable() const { return false; }
  virtual Value call(Runtime& runtime, const Arguments& arguments);
  virtual std::optional<Value> attribute(Runtime& runtime, std::string_view name);
};

std::string type_name(const Value& value);  // as Python: str, int, dict, NoneType
bool truth(const Value& value);
bool equal(Budget& b, const Value& a, const Value& b_value);
uint64_t hash(Budget& b, const Value& value);  // refuses what Python cannot hash
// Checks the value's type and says what was expected of whom.
const Text& expect_text(const Value& value, std::string_view what);
int64_t expect_integer(const Value& value, std::string_view what);

}  // namespace stemma::jinja
