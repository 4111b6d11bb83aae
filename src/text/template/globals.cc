// The global functions: jinja2's range, dict, namespace, cycler and joiner, and transformers'
// raise_exception and strftime_now. lipsum is not supported, being random.
#include "text/template/interpreter.h"
#include "text/template/print.h"

namespace stemma::jinja {
namespace {

constexpr int64_t kMaxRange = 100000;  // jinja2.sandbox.MAX_RANGE

struct Function : Special {
  std::string name;
  Value (*function)(Runtime&, const Arguments&) = nullptr;

  std::string type() const override { return "function"; }
  std::string repr() const override { return cat("<function ", name, ">"); }
  bool callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments& arguments) override {
    return function(runtime, arguments);
  }
  std::optional<Value> attribute(Runtime&, std::string_view wanted) override {
    // dict.fromkeys
    if (name != "dict" || wanted != "fromkeys") return std::nullopt;
    auto method = std::make_shared<Function>();
    method->name = "fromkeys";
    method->function = [](Runtime& r, const Arguments& arguments) {
      const Value dict = Value::dict({});
      return find_method(dict, "fromkeys")(r, dict, arguments);
    };
    return Value::special(std::move(method));
  }
};

Value range(Runtime&, const Arguments& arguments) {
  const Bound bound("range", arguments, {"start", "stop", "step"}, 1);
  auto range = std::make_shared<Range>();
  range->stop = bound.integer(0, 0);
  if (bound[1] != nullptr) {
    range->start = range->stop;
    range->stop = bound.integer(1, 0);
  }
  range->step = bound.integer(2, 1);
  if (range->step == 0) raise("range() arg 3 must not be zero");
  constexpr int64_t kFar = int64_t{1} << 40;
  for (int64_t* end : {&range->start, &range->stop, &range->step})
    if (*end > kFar || *end < -kFar) raise("a range as far as ", *end, " is not supported");
  if (range->size() > kMaxRange)
    raise("range too big. The sandbox blocks ranges larger than MAX_RANGE (", kMaxRange, ").");
  return Value(Kind::range, std::move(range));
}

// dict(mapping or pairs, name=value...)
Dict make_dict(Runtime& r, const Arguments& arguments) {
  Dict dict;
  if (arguments.positional.size() > 1) raise("dict expected at most 1 argument");
  if (!arguments.positional.empty()) {
    const Value& from = arguments.positional[0];
    if (from.is(Kind::dict)) {
      dict = from.dict();
    } else {
      for (const Value& pair : items_of(r.budget(), from)) {
        std::vector<Value> parts = items_of(r.budget(), pair);
        if (parts.size() != 2) raise("dict wants pairs");
        dict.set(r.budget(), std::move(parts[0]), std::move(parts[1]));
      }
    }
  }
  for (const auto& [name, value] : arguments.named) dict.set(r.budget(), decode(name), value);
  return dict;
}

Value dict(Runtime& r, const Arguments& arguments) { return Value::dict(make_dict(r, arguments)); }

Value name_space(Runtime& r, const Arguments& arguments) {
  auto object = std::make_shared<Namespace>();
  object->attributes = make_dict(r, arguments);
  for (const auto& [name, value] : object->attributes.items)
    if (name.is_string() && starts_with(name.text(), U"_"))
      raise("chat templates cannot store underscore-prefixed attributes on a namespace, but got '",
            encode(name.text()), "'");
  r.keep(object);
  return Value::special(std::move(object));
}

struct Cycler : Special {
  std::vector<Value> items;
  size_t at = 0;
  std::weak_ptr<Cycler> self;

  struct Method : Special {
    std::shared_ptr<Cycler> cycler;
    bool resets = false;
    std::string type() const override { return "method"; }
    bool callable() const override { return true; }
    Value call(Runtime&, const Arguments& arguments) override {
      const Bound bound("cycler", arguments, {}, 0);
      const Value current = cycler->items[cycler->at];
      cycler->at = resets ? 0 : (cycler->at + 1) % cycler->items.size();
      return resets ? Value() : current;
    }
  };

  std::string type() const override { return "Cycler"; }
  std::optional<Value> attribute(Runtime&, std::string_view name) override {
    if (name == "current") return items[at];
    if (name != "next" && name != "reset") return std::nullopt;
    auto method = std::make_shared<Method>();
    method->cycler = self.lock();
    method->resets = name == "reset";
    method->depth = depth + 1;
    return Value::special(std::move(method));
  }
};

Value cycler(Runtime& r, const Arguments& arguments) {
  if (arguments.positional.empty()) raise("at least one item has to be provided");
  auto object = std::make_shared<Cycler>();
  object->depth = Value::tuple(r.budget(), arguments.positional).depth();
  object->items = arguments.positional;
  object->self = object;
  return Value::special(std::move(object));
}

struct Joiner : Special {
  Value separator;
  bool used = false;
  std::string type() const override { return "Joiner"; }
  bool callable() const override { return true; }
  Value call(Runtime&, const Arguments&) override {
    return std::exchange(used, true) ? separator : Value("");
  }
};

Value joiner(Runtime& r, const Arguments& arguments) {
  const Bound bound("joiner", arguments, {"sep"}, 0);
  auto object = std::make_shared<Joiner>();
  object->separator = bound[0] != nullptr ? Value(r.str(*bound[0])) : Value(", ");
  return Value::special(std::move(object));
}

Value raise_exception(Runtime& r, const Arguments& arguments) {
  const Bound bound("raise_exception", arguments, {"message"}, 1);
  raise(encode(r.str(bound.at(0))));
}

Value strftime_now(Runtime& r, const Arguments& arguments) {
  const Bound bound("strftime_now", arguments, {"format"}, 1);
  const std::string format = encode(expect_text(bound.at(0), "the format of strftime_now"));
  if (format.size() > 1000) raise("the format of strftime_now is too long");
  if (format.empty()) return "";
  const std::time_t now = r.now();
  std::tm local{};
  localtime_r(&now, &local);
  char buffer[32768];
  return decode(
      std::string_view(buffer, std::strftime(buffer, sizeof buffer, format.c_str(), &local)));
}

}  // namespace

std::string Namespace::repr() const {
  Budget budget(uint64_t{1} << 20);
  std::string text = "<Namespace {";
  for (const auto& [key, value] : attributes.items) {
    // Python's own repr would descend for ever into a namespace that holds itself.
    if (value.special() != nullptr) raise("a namespace that holds objects cannot be printed");
    text += cat(text.back() == '{' ? "" : ", ", encode(jinja::repr(budget, key)), ": ",
                encode(jinja::repr(budget, value)));
  }
  return text + "}>";
}

std::optional<Value> Namespace::attribute(Runtime&, std::string_view name) {
  const Value* found = attributes.find(name);
  return found == nullptr ? std::nullopt : std::optional(*found);
}

std::optional<Value> find_global(std::string_view name) {
  static const std::unordered_map<std::string_view, Value (*)(Runtime&, const Arguments&)>
      functions = {
          {"cycler", cycler},
          {"dict", dict},
          {"joiner", joiner},
          {"namespace", name_space},
          {"raise_exception", raise_exception},
          {"range", range},
          {"strftime_now", strftime_now},
      };
  const auto found = functions.find(name);
  if (found == functions.end()) return std::nullopt;
  auto function = std::make_shared<Function>();
  function->name = name;
  function->function = found->second;
  return Value::special(std::move(function));
}

}  // namespace stemma::jinja
