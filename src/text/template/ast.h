// The syntax tree of a template: expressions and statements as variants, one struct a construct.
// A tree never changes once parsed and may be rendered from many threads.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "text/template/lexer.h"
#include "text/template/operators.h"

namespace stemma::jinja {

struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;  // null where optional and absent
using Body = std::vector<Stmt>;

// ---- expressions ----

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr list, dict;  // *list, **dict
};

struct Constant {
  Value value;
};
struct Name {
  std::string name;
};
struct NamespaceRef {  // ns.name as the target of an assignment
  std::string object, name;
};
struct ListLiteral {
  std::vector<ExprPtr> items;
};
struct TupleLiteral {
  std::vector<ExprPtr> items;
};
struct DictLiteral {
  std::vector<std::pair<ExprPtr, ExprPtr>> items;
};
struct Attribute {
  ExprPtr object;
  std::string name;
};
struct Subscript {
  ExprPtr object, key;
};
struct Slice {  // object[start:stop:step]
  ExprPtr object, start, stop, step;
};
struct Call {
  ExprPtr callee;
  CallArguments arguments;
};
struct Filter {
  ExprPtr operand;  // null at the head of a filter block
  std::string name;
  CallArguments arguments;
};
struct Test {
  ExprPtr operand;
  std::string name;
  CallArguments arguments;
};
struct Not {
  ExprPtr operand;
};
struct Sign {
  ExprPtr operand;
  bool minus;
};
struct Binary {
  BinaryOp op;
  ExprPtr left, right;
};
struct Logic {
  bool is_or;
  ExprPtr left, right;
};
struct Compare {
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
};
struct Concat {
  std::vector<ExprPtr> items;
};
struct Conditional {
  ExprPtr condition, yes, no;
};

struct Expr {
  Position position;
  std::variant<Constant, Name, NamespaceRef, ListLiteral, TupleLiteral, DictLiteral, Attribute,
               Subscript, Slice, Call, Filter, Test, Not, Sign, Binary, Logic, Compare, Concat,
               Conditional>
      node;
};

// ---- statements ----

struct Data {
  Text text;
};
struct Output {
  ExprPtr value;
};
struct If {
  struct Branch {
    ExprPtr condition;
    Body body;
  };
  std::vector<Branch> branches;
  Body otherwise;
};
struct For {
  ExprPtr target, iterable, test;
  Body body, otherwise;
  bool recursive;
};
struct Set {
  ExprPtr target, value;
};
struct SetBlock {
  ExprPtr target, filter;
  Body body;
};
struct With {
  std::vector<std::pair<ExprPtr, ExprPtr>> bindings;
  Body body;
};
struct MacroDefinition {
  struct Parameter {
    std::string name;
    ExprPtr fallback;
  };
  std::string name;
  std::vector<Parameter> parameters;
  Body body;
  // Which of these names the body reads: a macro takes surplus arguments only then.
  bool reads_caller = false, reads_kwargs = false, reads_varargs = false;
};
struct CallBlock {
  MacroDefinition caller;
  ExprPtr call;
};
struct FilterBlock {
  ExprPtr filter;
  Body body;
};
struct Generation {  // {% generation %}: what a model writes
  Body body;
};
struct Block {
  Body body;
};
struct LoopControl {
  bool stops;  // break, else continue
};

struct Stmt {
  Position position;
  std::variant<Data, Output, If, For, Set, SetBlock, With, MacroDefinition, CallBlock, FilterBlock,
               Generation, Block, LoopControl>
      node;
};

Body parse(std::string_view source, std::string_view where);

}  // namespace stemma::jinja
