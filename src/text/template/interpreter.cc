#include "text/template/interpreter.h"

#include <algorithm>

#include "text/template/print.h"

namespace stemma::jinja {
namespace {

// Of expressions, statements and macro calls together: what the machine's stack surely holds.
constexpr int kMaxRecursion = 800;

struct Macro : Special {
  const MacroDefinition* definition = nullptr;
  ScopePtr closure;

  std::string type() const override { return "Macro"; }
  std::string repr() const override { return cat("<Macro '", definition->name, "'>"); }
  bool callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments& arguments) override {
    return runtime.call_macro(*definition, closure, arguments);
  }
  std::optional<Value> attribute(Runtime&, std::string_view name) override {
    if (name == "name") return Value(decode(definition->name));
    return std::nullopt;
  }
};

struct BoundMethod : Special {
  Value self;
  std::string name;
  MethodFunction function = nullptr;

  std::string type() const override { return "builtin_function_or_method"; }
  bool callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments& arguments) override {
    return function(runtime, self, arguments);
  }
};

// The variable `loop`. Items are taken one by one, since a loop's test may read what its body sets.
struct Loop : Special {
  std::vector<Value> source;                   // what the loop walks over
  std::function<bool(const Value&)> test;      // null: takes all
  std::function<Value(const Value&)> recurse;  // null: not recursive
  std::vector<Value> taken;                    // items that passed, one ahead at most
  size_t next = 0;                             // in source
  int64_t index0 = -1;
  int64_t depth0 = 0;
  std::optional<Value> last_changed;
  std::weak_ptr<Loop> self;

  // Whether there is an item at `index`, looking ahead as far as needed.
  bool has(int64_t index) {
    while (static_cast<int64_t>(taken.size()) <= index && next < source.size()) {
      const Value& candidate = source[next++];
      if (!test || test(candidate)) taken.push_back(candidate);
    }
    return static_cast<int64_t>(taken.size()) > index;
  }
  int64_t length() {
    has(INT64_MAX - 1);
    return static_cast<int64_t>(taken.size());
  }

  std::string type() const override { return "LoopContext"; }
  bool callable() const override { return true; }
  Value call(Runtime&, const Arguments& arguments) override {
    if (!recurse) raise("the loop must have the 'recursive' marker to be called recursively");
    const Bound bound("loop()", arguments, {"iterable"}, 1);
    return recurse(bound.at(0));
  }

  std::optional<Value> attribute(Runtime&, std::string_view name) override {
    if (name == "index0") return Value(index0);
    if (name == "index") return Value(index0 + 1);
    if (name == "first") return Value(index0 == 0);
    if (name == "last") return Value(!has(index0 + 1));
    if (name == "length") return Value(length());
    if (name == "revindex") return Value(length() - index0);
    if (name == "revindex0") return Value(length() - index0 - 1);
    if (name == "depth") return Value(depth0 + 1);
    if (name == "depth0") return Value(depth0);
    if (name == "previtem")
      return index0 == 0 ? Value::undefined("there is no previous item")
                         : taken[static_cast<size_t>(index0 - 1)];
    if (name == "nextitem")
      return has(index0 + 1) ? taken[static_cast<size_t>(index0 + 1)]
                             : Value::undefined("there is no next item");
    if (name == "cycle" || name == "changed") return method(name == "cycle");
    return std::nullopt;
  }

 private:
  Value method(bool cycles) const;
};

// loop.cycle and loop.changed.
struct LoopMethod : Special {
  Value loop;
  bool cycles = false;

  std::string type() const override { return "method"; }
  bool callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments& arguments) override {
    auto& state = static_cast<Loop&>(*loop.special());
    if (!arguments.named.empty()) raise("loop methods take no keyword arguments");
    if (cycles) {
      if (arguments.positional.empty()) raise("no items for cycling given");
      return arguments.positional[static_cast<size_t>(state.index0) % arguments.positional.size()];
    }
    const Value now = Value::tuple(runtime.budget(), arguments.positional);
    const bool changed = !state.last_changed || !equal(runtime.budget(), *state.last_changed, now);
    state.last_changed = now;
    return changed;
  }
};

Value Loop::method(bool cycles) const {
  auto bound = std::make_shared<LoopMethod>();
  bound->cycles = cycles;
  bound->loop = Value::special(self.lock());
  bound->depth = depth + 1;
  return Value::special(std::move(bound));
}

std::string object_name(const Value& object) {
  return object.is_none() ? "None" : cat(type_name(object), " object");
}

bool is_internal(std::string_view name) { return name.starts_with("__"); }

Value unsafe(const Value& object, std::string_view name) {
  return Value::undefined(
      cat("access to attribute '", name, "' of '", type_name(object), "' object is unsafe."));
}

// What getattr() finds without looking into the object's items.
std::optional<Value> own_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is_undefined()) raise(object.message());
  if (is_internal(name) || is_mutator(object, name)) return unsafe(object, name);
  if (Special* special = object.special()) return special->attribute(runtime, name);
  if (object.is_group() && (name == "grouper" || name == "list"))
    return object.items()[name == "list"];
  if (object.is(Kind::range)) {
    if (name == "start") return Value(object.range().start);
    if (name == "stop") return Value(object.range().stop);
    if (name == "step") return Value(object.range().step);
  }
  const MethodFunction function = find_method(object, name);
  if (function == nullptr) return std::nullopt;
  auto method = std::make_shared<BoundMethod>();
  method->self = object;
  method->name = name;
  method->function = function;
  method->depth = object.depth() + 1;
  if (method->depth > kMaxDepth) raise("values are nested more than ", kMaxDepth, " deep");
  return Value::special(std::move(method));
}

}  // namespace

const Value* Scope::find(std::string_view name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->parent.get())
    for (const auto& [key, value] : scope->names)
      if (key == name) return &value;
  return nullptr;
}

void Scope::set(std::string_view name, Value value) {
  for (auto& [key, old] : names)
    if (key == name) {
      old = std::move(value);
      return;
    }
  names.emplace_back(name, std::move(value));
}

struct Runtime::Deeper {
  explicit Deeper(Runtime& runtime) : runtime_(runtime) {
    if (++runtime_.depth_ > kMaxRecursion) {
      --runtime_.depth_;
      raise("the template recurses too deeply");
    }
  }
  ~Deeper() { --runtime_.depth_; }
  Runtime& runtime_;
};

Runtime::Runtime(uint64_t steps, uint64_t max_output, std::time_t now)
    : budget_(steps), max_output_(max_output), now_(now) {}

Runtime::~Runtime() {
  // All at once: chains through these objects may be long.
  std::vector<Value> values;
  for (const auto& object : namespaces_)
    for (auto& [key, value] : std::exchange(object->attributes, {}).items)
      values.push_back(std::move(value));
  for (const ScopePtr& scope : captured_scopes_)
    for (auto& [key, value] : scope->names) values.push_back(std::move(value));
}

void Runtime::keep(std::shared_ptr<Namespace> object) { namespaces_.push_back(std::move(object)); }

Text Runtime::render(const Body& body, std::vector<std::pair<std::string, Value>> variables) {
  auto context = std::make_shared<Scope>();
  context->names = std::move(variables);
  auto root = std::make_shared<Scope>();
  root->parent = context;
  run(body, root);
  return std::move(root_);
}

Text Runtime::str(const Value& value) { return jinja::str(budget_, value); }

// ---- names and access ----

Value Runtime::look_up(std::string_view name, const Scope& scope) {
  if (const Value* value = scope.find(name)) return *value;
  if (std::optional<Value> global = find_global(name)) return *global;
  return Value::undefined(cat("'", name, "' is undefined"));
}

Value Runtime::attribute(const Value& object, std::string_view name) {
  budget_.charge(1);
  if (std::optional<Value> value = own_attribute(*this, object, name)) return *value;
  if (object.is(Kind::dict))
    if (std::optional<Value> value = jinja::item(budget_, object, decode(name))) return *value;
  return Value::undefined(cat("'", object_name(object), "' has no attribute '", name, "'"));
}

Value Runtime::item(const Value& object, const Value& key) {
  if (object.is_undefined()) raise(object.message());
  if (std::optional<Value> value = jinja::item(budget_, object, key)) return *value;
  if (!key.is_string())
    return Value::undefined(
        cat(object_name(object), " has no element ", encode(repr(budget_, key))));
  const std::string name = encode(key.text());
  if (std::optional<Value> value = own_attribute(*this, object, name)) return *value;
  return Value::undefined(cat("'", object_name(object), "' has no attribute '", name, "'"));
}

Value Runtime::call(const Value& callee, const Arguments& arguments) {
  const Deeper deeper(*this);
  budget_.charge(1);
  if (callee.is_undefined()) raise(callee.message());
  Special* special = callee.special();
  if (special == nullptr || !special->callable())
    raise("'", type_name(callee), "' object is not callable");
  return special->call(*this, arguments);
}

Value Runtime::filter(std::string_view name, const Value& operand, const Arguments& arguments) {
  budget_.charge(1);
  const FilterFunction function = find_filter(name);
  if (function == nullptr) raise("no filter named '", name, "'");
  return function(*this, operand, arguments);
}

bool Runtime::test(std::string_view name, const Value& operand, const Arguments& arguments) {
  budget_.charge(1);
  const TestFunction function = find_test(name);
  if (function == nullptr) raise("no test named '", name, "'");
  return function(*this, operand, arguments);
}

Arguments Runtime::arguments(const CallArguments& given, const ScopePtr& scope) {
  Arguments result;
  for (const ExprPtr& expr : given.positional) result.positional.push_back(eval(*expr, scope));
  for (const auto& [name, expr] : given.named) result.named.emplace_back(name, eval(*expr, scope));
  if (given.list)
    for (Value& value : items_of(budget_, eval(*given.list, scope)))
      result.positional.push_back(std::move(value));
  if (given.dict) {
    const Value dict = eval(*given.dict, scope);
    if (!dict.is(Kind::dict)) raise("argument after ** must be a mapping, not ", type_name(dict));
    for (const auto& [key, value] : dict.dict().items) {
      const std::string name = encode(expect_text(key, "a keyword"));
      for (const auto& [other, unused] : result.named)
        if (other == name) raise("got two values for argument '", name, "'");
      result.named.emplace_back(name, value);
    }
  }
  return result;
}

// ---- expressions ----

Value Runtime::eval(const Expr& expr, const ScopePtr& scope) {
  const Deeper deeper(*this);
  budget_.charge(1);
  position_ = expr.position;
  return std::visit([&](const auto& node) { return eval_node(node, scope, expr.position); },
                    expr.node);
}

template <class Node>
Value Runtime::eval_node(const Node& node, const ScopePtr& scope, Position position) {
  // Operands have moved the position; what fails from here on is this expression.
  const auto here = [&] { position_ = position; };
  if constexpr (std::is_same_v<Node, Constant>) {
    return node.value;
  } else if constexpr (std::is_same_v<Node, Name>) {
    return look_up(node.name, *scope);
  } else if constexpr (std::is_same_v<Node, NamespaceRef>) {
    return attribute(look_up(node.object, *scope), node.name);
  } else if constexpr (std::is_same_v<Node, ListLiteral> || std::is_same_v<Node, TupleLiteral>) {
    std::vector<Value> items;
    for (const ExprPtr& item : node.items) items.push_back(eval(*item, scope));
    here();
    return std::is_same_v<Node, ListLiteral> ? Value::list(budget_, std::move(items))
                                             : Value::tuple(budget_, std::move(items));
  } else if constexpr (std::is_same_v<Node, DictLiteral>) {
    Dict dict;
    for (const auto& [key, value] : node.items) {
      Value k = eval(*key, scope), v = eval(*value, scope);
      here();
      dict.set(budget_, std::move(k), std::move(v));
    }
    return Value::dict(std::move(dict));
  } else if constexpr (std::is_same_v<Node, Attribute>) {
    const Value object = eval(*node.object, scope);
    here();
    return attribute(object, node.name);
  } else if constexpr (std::is_same_v<Node, Subscript>) {
    const Value object = eval(*node.object, scope), key = eval(*node.key, scope);
    here();
    return item(object, key);
  } else if constexpr (std::is_same_v<Node, Slice>) {
    const Value object = eval(*node.object, scope);
    const auto bound = [&](const ExprPtr& expr) { return expr ? eval(*expr, scope) : Value(); };
    const SliceBounds bounds{bound(node.start), bound(node.stop), bound(node.step)};
    here();
    if (std::optional<Value> result = slice(budget_, object, bounds)) return *result;
    raise("a '", type_name(object), "' object has no such slice");
  } else if constexpr (std::is_same_v<Node, Call>) {
    const Value callee = eval(*node.callee, scope);
    const Arguments given = arguments(node.arguments, scope);
    here();
    return call(callee, given);
  } else if constexpr (std::is_same_v<Node, Filter>) {
    const Value operand = node.operand ? eval(*node.operand, scope) : *filter_input_;
    const Arguments given = arguments(node.arguments, scope);
    here();
    return filter(node.name, operand, given);
  } else if constexpr (std::is_same_v<Node, Test>) {
    const Value operand = eval(*node.operand, scope);
    const Arguments given = arguments(node.arguments, scope);
    here();
    return test(node.name, operand, given);
  } else if constexpr (std::is_same_v<Node, Not>) {
    return !truth(eval(*node.operand, scope));
  } else if constexpr (std::is_same_v<Node, Sign>) {
    const Value operand = eval(*node.operand, scope);
    here();
    return negate(operand, node.minus);
  } else if constexpr (std::is_same_v<Node, Binary>) {
    const Value left = eval(*node.left, scope), right = eval(*node.right, scope);
    here();
    return binary(budget_, node.op, left, right);
  } else if constexpr (std::is_same_v<Node, Logic>) {
    Value left = eval(*node.left, scope);
    return truth(left) == node.is_or ? left : eval(*node.right, scope);
  } else if constexpr (std::is_same_v<Node, Compare>) {
    Value left = eval(*node.first, scope);
    for (const auto& [op, expr] : node.rest) {
      Value right = eval(*expr, scope);
      here();
      if (!compare(budget_, op, left, right)) return false;
      left = std::move(right);
    }
    return true;
  } else if constexpr (std::is_same_v<Node, Concat>) {
    Text text;
    for (const ExprPtr& item : node.items) text += str(eval(*item, scope));
    budget_.charge_items(text.size());
    return text;
  } else {
    static_assert(std::is_same_v<Node, Conditional>);
    if (truth(eval(*node.condition, scope))) return eval(*node.yes, scope);
    if (node.no) return eval(*node.no, scope);
    return Value::undefined(cat("the inline if-expression on line ", position.line,
                                " evaluated to false and no else section was defined."));
  }
}

Value Runtime::apply_filters(const Expr& expr, const ScopePtr& scope, const Value& operand) {
  const Value* outer = std::exchange(filter_input_, &operand);
  Value result = eval(expr, scope);
  filter_input_ = outer;
  return result;
}

// ---- statements ----

void Runtime::write(TextView text) {
  budget_.charge_items(text.size());
  *out_ += text;
  if (out_->size() > max_output_)
    raise("the rendering is longer than ", max_output_, " characters");
}

Text Runtime::captured(const Body& body, const ScopePtr& scope) {
  auto inner = std::make_shared<Scope>();
  inner->parent = scope;
  Text text;
  Text* outer = std::exchange(out_, &text);
  run(body, inner);
  out_ = outer;
  return text;
}

void Runtime::assign(const Expr& target, Value value, const ScopePtr& scope) {
  if (const auto* name = std::get_if<Name>(&target.node)) {
    scope->set(name->name, std::move(value));
  } else if (const auto* ref = std::get_if<NamespaceRef>(&target.node)) {
    const Value object = look_up(ref->object, *scope);
    auto* space = dynamic_cast<Namespace*>(object.special());
    if (space == nullptr) raise("cannot assign attribute on non-namespace object");
    if (ref->name.starts_with("_"))
      raise("chat templates cannot store underscore-prefixed attributes on a namespace, but got '",
            ref->name, "'");
    space->attributes.set(budget_, decode(ref->name), std::move(value));
  } else {
    const auto& targets = std::get<TupleLiteral>(target.node).items;
    std::vector<Value> items = items_of(budget_, value);
    if (items.size() != targets.size())
      raise(items.size() < targets.size() ? "not enough" : "too many",
            " values to unpack (expected ", targets.size(), ", got ", items.size(), ")");
    for (size_t i = 0; i < items.size(); ++i) assign(*targets[i], std::move(items[i]), scope);
  }
}

Value Runtime::macro(const MacroDefinition& definition, const ScopePtr& scope) {
  auto macro = std::make_shared<Macro>();
  macro->definition = &definition;
  macro->closure = scope;
  captured_scopes_.push_back(scope);
  return Value::special(std::move(macro));
}

Value Runtime::call_macro(const MacroDefinition& macro, const ScopePtr& closure,
                          const Arguments& arguments) {
  const Deeper deeper(*this);
  auto scope = std::make_shared<Scope>();
  scope->parent = closure;
  auto named = arguments.named;
  const auto pop = [&](std::string_view name) -> std::optional<Value> {
    for (auto it = named.begin(); it != named.end(); ++it)
      if (it->first == name) {
        Value value = std::move(it->second);
        named.erase(it);
        return value;
      }
    return std::nullopt;
  };
  std::vector<std::optional<Value>> values;
  bool explicit_caller = false;
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    explicit_caller |= macro.parameters[i].name == "caller";
    values.push_back(i < arguments.positional.size() ? std::optional(arguments.positional[i])
                                                     : pop(macro.parameters[i].name));
  }
  if (macro.reads_caller && !explicit_caller) {
    const std::optional<Value> caller = pop("caller");
    scope->set("caller",
               caller && !caller->is_none() ? *caller : Value::undefined("No caller defined"));
  }
  if (macro.reads_kwargs) {
    Dict rest;
    for (auto& [name, value] : named) rest.set(budget_, decode(name), std::move(value));
    scope->set("kwargs", Value::dict(std::move(rest)));
  } else if (!named.empty()) {
    raise("macro '", macro.name, "' takes no keyword argument '", named[0].first, "'");
  }
  const size_t taken = std::min(arguments.positional.size(), macro.parameters.size());
  if (macro.reads_varargs)
    scope->set("varargs",
               Value::tuple(budget_, {arguments.positional.begin() + static_cast<ptrdiff_t>(taken),
                                      arguments.positional.end()}));
  else if (arguments.positional.size() > taken)
    raise("macro '", macro.name, "' takes not more than ", macro.parameters.size(), " argument(s)");
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const MacroDefinition::Parameter& parameter = macro.parameters[i];
    if (!values[i])
      values[i] = parameter.fallback
                      ? eval(*parameter.fallback, scope)
                      : Value::undefined(cat("parameter '", parameter.name, "' was not provided"));
    scope->set(parameter.name, std::move(*values[i]));
  }
  return captured(macro.body, scope);
}

Runtime::Flow Runtime::loop(const For& node, const ScopePtr& scope, const Value& iterable,
                            int depth) {
  const Deeper deeper(*this);
  auto loop = std::make_shared<Loop>();
  loop->self = loop;
  loop->source = items_of(budget_, iterable);
  loop->depth = iterable.depth() + 1;
  if (loop->depth > kMaxDepth) raise("values are nested more than ", kMaxDepth, " deep");
  loop->depth0 = depth;
  if (node.test)
    loop->test = [&](const Value& candidate) {
      auto inner = std::make_shared<Scope>();
      inner->parent = scope;
      assign(*node.target, candidate, inner);
      return truth(eval(*node.test, inner));
    };
  if (node.recursive)
    loop->recurse = [&, depth](const Value& items) {
      Text text;
      Text* outer = std::exchange(out_, &text);
      this->loop(node, scope, items, depth + 1);
      out_ = outer;
      return Value(std::move(text));
    };
  while (loop->has(loop->index0 + 1)) {
    ++loop->index0;
    budget_.charge(1);
    auto inner = std::make_shared<Scope>();
    inner->parent = scope;
    assign(*node.target, loop->taken[static_cast<size_t>(loop->index0)], inner);
    inner->set("loop", Value::special(loop));
    if (run(node.body, inner) == Flow::stop) break;
  }
  // The loop may live on in a namespace; its test and body belong to this call.
  loop->test = nullptr;
  loop->recurse = nullptr;
  loop->next = loop->source.size();
  if (loop->index0 < 0 && !node.otherwise.empty()) {
    auto inner = std::make_shared<Scope>();
    inner->parent = scope;
    return run(node.otherwise, inner);
  }
  return Flow::next;
}

Runtime::Flow Runtime::run(const Body& body, const ScopePtr& scope) {
  const Deeper deeper(*this);
  for (const Stmt& stmt : body)
    if (const Flow flow = run(stmt, scope); flow != Flow::next) return flow;
  return Flow::next;
}

Runtime::Flow Runtime::run(const Stmt& stmt, const ScopePtr& scope) {
  budget_.charge(1);
  position_ = stmt.position;
  if (const auto* data = std::get_if<Data>(&stmt.node)) {
    write(data->text);
  } else if (const auto* output = std::get_if<Output>(&stmt.node)) {
    const Value value = eval(*output->value, scope);
    position_ = stmt.position;
    write(str(value));
  } else if (const auto* branch = std::get_if<If>(&stmt.node)) {
    for (const If::Branch& b : branch->branches)
      if (truth(eval(*b.condition, scope))) return run(b.body, scope);
    return run(branch->otherwise, scope);
  } else if (const auto* loop_node = std::get_if<For>(&stmt.node)) {
    const Value iterable = eval(*loop_node->iterable, scope);
    position_ = stmt.position;
    return loop(*loop_node, scope, iterable, 0);
  } else if (const auto* set = std::get_if<Set>(&stmt.node)) {
    Value value = eval(*set->value, scope);
    position_ = stmt.position;
    assign(*set->target, std::move(value), scope);
  } else if (const auto* set_block = std::get_if<SetBlock>(&stmt.node)) {
    Value value = captured(set_block->body, scope);
    if (set_block->filter) value = apply_filters(*set_block->filter, scope, value);
    assign(*set_block->target, std::move(value), scope);
  } else if (const auto* with = std::get_if<With>(&stmt.node)) {
    auto inner = std::make_shared<Scope>();
    inner->parent = scope;
    for (const auto& [target, expr] : with->bindings) assign(*target, eval(*expr, scope), inner);
    return run(with->body, inner);
  } else if (const auto* definition = std::get_if<MacroDefinition>(&stmt.node)) {
    scope->set(definition->name, macro(*definition, scope));
  } else if (const auto* call_block = std::get_if<CallBlock>(&stmt.node)) {
    const auto& node = std::get<Call>(call_block->call->node);
    const Value callee = eval(*node.callee, scope);
    Arguments given = arguments(node.arguments, scope);
    given.named.emplace_back("caller", macro(call_block->caller, scope));
    position_ = stmt.position;
    write(str(call(callee, given)));
  } else if (const auto* filter_block = std::get_if<FilterBlock>(&stmt.node)) {
    const Value text = captured(filter_block->body, scope);
    write(str(apply_filters(*filter_block->filter, scope, text)));
  } else if (const auto* generation = std::get_if<Generation>(&stmt.node)) {
    const Text text = captured(generation->body, scope);
    // As the reference counts: from what the template itself, not a macro or block, has written.
    generation_.push_back({root_.size(), root_.size() + text.size()});
    write(text);
  } else if (const auto* block = std::get_if<Block>(&stmt.node)) {
    auto inner = std::make_shared<Scope>();
    inner->parent = scope;
    return run(block->body, inner);
  } else {
    return std::get<LoopControl>(stmt.node).stops ? Flow::stop : Flow::again;
  }
  return Flow::next;
}

}  // namespace stemma::jinja
