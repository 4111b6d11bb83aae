// Runs a syntax tree: the part of jinja2's environment and generated code that templates can see.
// Names live in scopes as there: loops, macros, with, set, filter, call and generation blocks open
// one; if does not. The environment is transformers' ImmutableSandboxedEnvironment: methods that
// change a list or a dict are undefined and say so when used.
// A Runtime serves one rendering. Errors: Failure; position() tells where.
#pragma once

#include <ctime>
#include <functional>
#include <span>

#include "text/template/ast.h"

namespace stemma::jinja {

// Variables of one scope; the chain of parents is the lexical one.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<std::string, Value>> names;

  const Value* find(std::string_view name) const;  // here or in a parent
  void set(std::string_view name, Value value);    // here
};
using ScopePtr = std::shared_ptr<Scope>;

struct Span {
  size_t begin, end;  // characters of the rendering
};

class Runtime {
 public:
  Runtime(uint64_t steps, uint64_t max_output, std::time_t now);
  ~Runtime();
  Runtime(const Runtime&) = delete;

  Text render(const Body& body, std::vector<std::pair<std::string, Value>> variables);
  const std::vector<Span>& generation() const { return generation_; }
  Position position() const { return position_; }

  Budget& budget() { return budget_; }
  std::time_t now() const { return now_; }
  Text str(const Value& value);

  // object.name and object[key] with jinja2's fallbacks of each to the other.
  Value attribute(const Value& object, std::string_view name);
  Value item(const Value& object, const Value& key);
  Value call(const Value& callee, const Arguments& arguments);
  Value filter(std::string_view name, const Value& operand, const Arguments& arguments);
  bool test(std::string_view name, const Value& operand, const Arguments& arguments);

  // Objects that can hold themselves are emptied at the end, or they would never be freed.
  void keep(std::shared_ptr<struct Namespace> object);

  // For macros and loops.
  Value call_macro(const MacroDefinition& macro, const ScopePtr& closure,
                   const Arguments& arguments);
  Value eval(const Expr& expr, const ScopePtr& scope);

 private:
  enum class Flow : uint8_t { next, stop, again };
  struct Deeper;

  Flow run(const Body& body, const ScopePtr& scope);
  Flow run(const Stmt& stmt, const ScopePtr& scope);
  Flow loop(const For& node, const ScopePtr& scope, const Value& iterable, int depth);
  Text captured(const Body& body, const ScopePtr& scope);
  void write(TextView text);
  void assign(const Expr& target, Value value, const ScopePtr& scope);
  Value macro(const MacroDefinition& definition, const ScopePtr& scope);
  Arguments arguments(const CallArguments& arguments, const ScopePtr& scope);
  Value apply_filters(const Expr& expr, const ScopePtr& scope, const Value& operand);
  Value look_up(std::string_view name, const Scope& scope);

  template <class Node>
  Value eval_node(const Node& node, const ScopePtr& scope, Position position);

  Budget budget_;
  uint64_t max_output_;
  std::time_t now_;
  Position position_;
  int depth_ = 0;
  Text root_;
  Text* out_ = &root_;
  const Value* filter_input_ = nullptr;  // of the filter block whose chain is being evaluated
  std::vector<Span> generation_;
  std::vector<ScopePtr> captured_scopes_;  // those that macros hold on to
  std::vector<std::shared_ptr<struct Namespace>> namespaces_;
};

// ---- what the other files provide ----

using FilterFunction = Value (*)(Runtime&, const Value& operand, const Arguments&);
using TestFunction = bool (*)(Runtime&, const Value& operand, const Arguments&);
using MethodFunction = Value (*)(Runtime&, const Value& self, const Arguments&);
FilterFunction find_filter(std::string_view name);  // nullptr where unknown
TestFunction find_test(std::string_view name);
MethodFunction find_method(const Value& self, std::string_view name);
bool is_mutator(const Value& self, std::string_view name);  // of the sandbox's list
std::optional<Value> find_global(std::string_view name);    // range, namespace, ...

struct Namespace : Special {
  Dict attributes;
  std::string type() const override { return "Namespace"; }
  std::string repr() const override;
  std::optional<Value> attribute(Runtime& runtime, std::string_view name) override;
};

}  // namespace stemma::jinja
