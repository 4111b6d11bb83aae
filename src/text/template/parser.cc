// Tokens to the syntax tree, by recursive descent with one function a level of precedence, as
// jinja2 3.1's parser.py. Of its tags extends, include, import and from are refused (a chat
// template is one file), and so is autoescape.
#include <algorithm>

#include "text/template/ast.h"

namespace stemma::jinja {
namespace {

constexpr int kMaxNesting = 200;
// Operators, calls and subscripts in one expression: a chain makes the tree as deep as it is long.
constexpr int kMaxLinks = 2000;

template <class Node>
ExprPtr make(Position position, Node node) {
  return std::make_unique<Expr>(Expr{position, std::move(node)});
}

class Parser {
 public:
  Parser(std::string_view source, std::string_view where)
      : where_(where), tokens_(tokenize(source, where)) {}

  Body run() { return statements({}, ""); }

 private:
  using Kind = Token::Kind;

  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool take_op(std::string_view op) { return current().is_op(op) && (take(), true); }
  bool take_name(std::string_view word) { return current().is_name(word) && (take(), true); }
  [[noreturn]] void fail_here(std::string_view message) {
    fail_at(where_, current().position, message);
  }
  [[noreturn]] void fail_expected(std::string_view what) {
    fail_here(cat("expected ", what, ", got ", describe(current())));
  }
  void expect_op(std::string_view op) {
    if (!take_op(op)) fail_expected(cat("'", op, "'"));
  }
  void expect(Kind kind, std::string_view what) {
    if (current().kind != kind) fail_expected(what);
    take();
  }
  std::string expect_name() {
    if (current().kind != Kind::name) fail_expected("a name");
    return take().name;
  }

  // Counts how deep the descent is, in expressions and statements alike.
  struct Deeper {
    explicit Deeper(Parser& parser) : parser_(parser) {
      if (++parser_.nesting_ > kMaxNesting)
        parser_.fail_here(cat("the template is nested more than ", kMaxNesting, " deep"));
    }
    ~Deeper() { --parser_.nesting_; }
    Parser& parser_;
  };

  // ---- statements ----

  // As far as a tag named in `ends`, whose name is taken; all of the template where there are none.
  Body statements(std::initializer_list<std::string_view> ends, std::string_view tag) {
    const Deeper deeper(*this);
    Body body;
    for (;;) {
      const Position position = current().position;
      links_ = 0;
      switch (current().kind) {
        case Kind::end:
          if (ends.size() > 0) fail_here(cat("the template ends inside {% ", tag, " %}"));
          return body;
        case Kind::data:
          body.push_back({position, Data{take().text}});
          break;
        case Kind::variable_begin:
          take();
          body.push_back({position, Output{tuple()}});
          expect(Kind::variable_end, "'}}'");
          break;
        case Kind::block_begin: {
          take();
          if (current().kind != Kind::name) fail_expected("the name of a tag");
          for (std::string_view end : ends)
            if (current().is_name(end)) {
              ended_by_ = take().name;
              return body;
            }
          statement(body, tag);
          expect(Kind::block_end, "'%}'");
          break;
        }
        default:
          fail_expected("template text");
      }
    }
  }

  // The body behind an opening tag.
  Body block(std::initializer_list<std::string_view> ends, std::string_view tag) {
    take_op(":");
    expect(Kind::block_end, "'%}'");
    return statements(ends, tag);
  }

  void statement(Body& body, std::string_view around) {
    const Position position = current().position;
    const std::string tag = take().name;
    const auto add = [&](auto node) { body.push_back({position, std::move(node)}); };
    if (tag == "if") {
      add(if_statement());
    } else if (tag == "for") {
      add(for_statement());
    } else if (tag == "set") {
      set_statement(body, position);
    } else if (tag == "with") {
      With with;
      while (current().kind != Kind::block_end) {
        if (!with.bindings.empty()) expect_op(",");
        ExprPtr target = assign_target(false, "");
        expect_op("=");
        with.bindings.emplace_back(std::move(target), expression());
      }
      with.body = block({"endwith"}, tag);
      add(std::move(with));
    } else if (tag == "macro") {
      MacroDefinition macro;
      macro.name = expect_name();
      parameters(macro);
      macro_body(macro, "endmacro", tag);
      add(std::move(macro));
    } else if (tag == "call") {
      CallBlock call;
      call.caller.name = "caller";
      if (current().is_op("(")) parameters(call.caller);
      call.call = expression();
      if (!std::holds_alternative<Call>(call.call->node))
        fail_at(where_, position, "a call block wants a call");
      macro_body(call.caller, "endcall", tag);
      add(std::move(call));
    } else if (tag == "filter") {
      FilterBlock filter;
      filter.filter = filters(nullptr, true);
      filter.body = block({"endfilter"}, tag);
      add(std::move(filter));
    } else if (tag == "generation") {
      add(Generation{block({"endgeneration"}, tag)});
    } else if (tag == "block") {
      const std::string name = expect_name();
      take_name("scoped");
      Block node{block({"endblock"}, tag)};
      take_name(name);
      add(std::move(node));
    } else if (tag == "break" || tag == "continue") {
      if (loops_ == 0) fail_at(where_, position, cat("'", tag, "' outside a loop"));
      add(LoopControl{tag == "break"});
    } else if (tag == "print") {
      for (bool first = true; current().kind != Kind::block_end; first = false) {
        if (!first) expect_op(",");
        add(Output{expression()});
      }
    } else if (tag == "extends" || tag == "include" || tag == "import" || tag == "from" ||
               tag == "autoescape") {
      fail(Code::kUnsupported, "[", where_, ":", position.line, ":", position.column, "] {% ", tag,
           " %} is not supported in chat templates");
    } else {
      fail_at(where_, position,
              cat("unknown tag '", tag, "'",
                  around.empty() ? std::string() : cat(" inside {% ", around, " %}")));
    }
  }

  If if_statement() {
    If node;
    do {
      If::Branch branch;
      branch.condition = tuple(false);
      branch.body = block({"elif", "else", "endif"}, "if");
      node.branches.push_back(std::move(branch));
    } while (ended_by_ == "elif");
    if (ended_by_ == "else") node.otherwise = block({"endif"}, "if");
    return node;
  }

  For for_statement() {
    For node;
    node.target = assign_target(false, "in");
    if (!take_name("in")) fail_expected("'in'");
    node.iterable = tuple(false, "recursive");
    if (take_name("if")) node.test = expression();
    node.recursive = take_name("recursive");
    ++loops_;
    node.body = block({"endfor", "else"}, "for");
    --loops_;
    if (ended_by_ == "else") node.otherwise = block({"endfor"}, "for");
    return node;
  }

  void set_statement(Body& body, Position position) {
    ExprPtr target = assign_target(true, "");
    if (take_op("=")) {
      body.push_back({position, Set{std::move(target), tuple()}});
      return;
    }
    SetBlock node{std::move(target), filters(nullptr, false), {}};
    node.body = block({"endset"}, "set");
    body.push_back({position, std::move(node)});
  }

  void parameters(MacroDefinition& macro) {
    expect_op("(");
    while (!current().is_op(")")) {
      if (!macro.parameters.empty()) expect_op(",");
      MacroDefinition::Parameter parameter{expect_name(), nullptr};
      if (take_op("="))
        parameter.fallback = expression();
      else if (!macro.parameters.empty() && macro.parameters.back().fallback)
        fail_here("a parameter without a default follows one with a default");
      macro.parameters.push_back(std::move(parameter));
    }
    expect_op(")");
  }

  void macro_body(MacroDefinition& macro, std::string_view end, std::string_view tag) {
    const int loops = std::exchange(loops_, 0);
    const size_t from = at_;
    macro.body = block({end}, tag);
    loops_ = loops;
    for (size_t i = from; i < at_; ++i) {
      const Token& token = tokens_[i];
      if (token.kind != Kind::name || tokens_[i - 1].is_op(".")) continue;
      macro.reads_caller |= token.name == "caller";
      macro.reads_kwargs |= token.name == "kwargs";
      macro.reads_varargs |= token.name == "varargs";
    }
  }

  // A name, ns.name where allowed, or several with commas.
  ExprPtr assign_target(bool with_namespace, std::string_view end) {
    const Position position = current().position;
    ExprPtr target = tuple_of([&] { return primary(with_namespace); }, end, false);
    check_target(*target, position);
    return target;
  }

  void check_target(const Expr& target, Position position) {
    if (const auto* tuple = std::get_if<TupleLiteral>(&target.node)) {
      for (const ExprPtr& item : tuple->items) check_target(*item, position);
    } else if (!std::holds_alternative<Name>(target.node) &&
               !std::holds_alternative<NamespaceRef>(target.node)) {
      fail_at(where_, position, "only names can be assigned to");
    }
  }

  // ---- expressions, from loose to tight ----

  template <class Item>
  ExprPtr tuple_of(Item item, std::string_view end, bool empty_allowed) {
    const Position position = current().position;
    TupleLiteral tuple;
    bool commas = false;
    for (;;) {
      const Token& token = current();
      if (token.kind == Kind::variable_end || token.kind == Kind::block_end || token.is_op(")") ||
          (!end.empty() && token.is_name(end)))
        break;
      tuple.items.push_back(item());
      if (!take_op(",")) break;
      commas = true;
    }
    if (!commas && !tuple.items.empty()) return std::move(tuple.items[0]);
    if (!commas && !empty_allowed) fail_expected("an expression");
    return make(position, std::move(tuple));
  }

  ExprPtr tuple(bool conditional = true, std::string_view end = "") {
    return tuple_of([&] { return conditional ? expression() : either(); }, end, false);
  }

  ExprPtr expression() {
    const Deeper deeper(*this);
    const Position position = current().position;
    ExprPtr value = either();
    while (take_name("if")) {
      Conditional node;
      node.condition = either();
      node.yes = std::move(value);
      if (take_name("else")) node.no = expression();
      value = make(position, std::move(node));
      link();
    }
    return value;
  }

  ExprPtr either() {
    ExprPtr left = both();
    for (Position p = current().position; take_name("or"); p = current().position) {
      link();
      ExprPtr right = both();
      left = make(p, Logic{true, std::move(left), std::move(right)});
    }
    return left;
  }

  ExprPtr both() {
    ExprPtr left = negation();
    for (Position p = current().position; take_name("and"); p = current().position) {
      link();
      ExprPtr right = negation();
      left = make(p, Logic{false, std::move(left), std::move(right)});
    }
    return left;
  }

  ExprPtr negation() {
    const Position position = current().position;
    if (!take_name("not")) return comparison();
    const Deeper deeper(*this);
    return make(position, Not{negation()});
  }

  std::optional<CompareOp> comparison_op() {
    const auto op = [&](std::string_view text, CompareOp op) {
      return take_op(text) ? std::optional(op) : std::nullopt;
    };
    if (auto o = op("==", CompareOp::eq)) return o;
    if (auto o = op("!=", CompareOp::ne)) return o;
    if (auto o = op("<", CompareOp::lt)) return o;
    if (auto o = op("<=", CompareOp::le)) return o;
    if (auto o = op(">", CompareOp::gt)) return o;
    if (auto o = op(">=", CompareOp::ge)) return o;
    if (take_name("in")) return CompareOp::in;
    if (current().is_name("not") && ahead().is_name("in")) {
      take(), take();
      return CompareOp::not_in;
    }
    return std::nullopt;
  }

  ExprPtr comparison() {
    const Position position = current().position;
    ExprPtr first = sum();
    Compare node;
    while (const std::optional<CompareOp> op = comparison_op()) node.rest.emplace_back(*op, sum());
    if (node.rest.empty()) return first;
    node.first = std::move(first);
    return make(position, std::move(node));
  }

  // Each of these: operands of the next tighter level, joined from the left.
  template <class Operand>
  ExprPtr chain(Operand operand, std::initializer_list<std::pair<std::string_view, BinaryOp>> ops) {
    ExprPtr left = operand();
    for (;;) {
      const Position position = current().position;
      const auto op = std::find_if(ops.begin(), ops.end(),
                                   [&](const auto& o) { return current().is_op(o.first); });
      if (op == ops.end()) break;
      take();
      link();
      ExprPtr right = operand();
      left = make(position, Binary{op->second, std::move(left), std::move(right)});
    }
    return left;
  }

  void link() {
    if (++links_ > kMaxLinks)
      fail_here(cat("an expression has more than ", kMaxLinks, " operators"));
  }

  ExprPtr sum() {
    return chain([&] { return concat(); }, {{"+", BinaryOp::add}, {"-", BinaryOp::sub}});
  }

  ExprPtr concat() {
    const Position position = current().position;
    ExprPtr first = product();
    if (!current().is_op("~")) return first;
    Concat node;
    node.items.push_back(std::move(first));
    while (take_op("~")) node.items.push_back(product());
    return make(position, std::move(node));
  }

  ExprPtr product() {
    return chain([&] { return power(); }, {{"*", BinaryOp::mul},
                                           {"/", BinaryOp::div},
                                           {"//", BinaryOp::floordiv},
                                           {"%", BinaryOp::mod}});
  }

  ExprPtr power() {
    return chain([&] { return unary(true); }, {{"**", BinaryOp::pow}});
  }

  ExprPtr unary(bool with_filter) {
    const Position position = current().position;
    ExprPtr node;
    if (current().is_op("-") || current().is_op("+")) {
      const Deeper deeper(*this);
      const bool minus = take().name == "-";
      node = make(position, Sign{unary(false), minus});
    } else {
      node = primary(false);
    }
    node = postfix(std::move(node));
    return with_filter ? filters_and_tests(std::move(node)) : std::move(node);
  }

  ExprPtr primary(bool with_namespace) {
    const Deeper deeper(*this);
    const Token& token = current();
    const Position position = token.position;
    switch (token.kind) {
      case Kind::name:
        return name(with_namespace);
      case Kind::string: {
        Text text = take().text;
        while (current().kind == Kind::string) text += take().text;
        return make(position, Constant{std::move(text)});
      }
      case Kind::integer:
      case Kind::real:
        return make(position, Constant{take().number});
      default:
        break;
    }
    if (take_op("(")) {
      ExprPtr node = tuple_of([&] { return expression(); }, "", true);
      expect_op(")");
      return node;
    }
    if (take_op("[")) {
      ListLiteral list;
      while (!current().is_op("]")) {
        list.items.push_back(expression());
        if (!take_op(",")) break;
      }
      expect_op("]");
      return make(position, std::move(list));
    }
    if (take_op("{")) {
      DictLiteral dict;
      while (!current().is_op("}")) {
        ExprPtr key = expression();
        expect_op(":");
        dict.items.emplace_back(std::move(key), expression());
        if (!take_op(",")) break;
      }
      expect_op("}");
      return make(position, std::move(dict));
    }
    fail_expected("an expression");
  }

  ExprPtr name(bool with_namespace) {
    const Position position = current().position;
    const std::string& word = take().name;
    if (word == "true" || word == "True") return make(position, Constant{Value(true)});
    if (word == "false" || word == "False") return make(position, Constant{Value(false)});
    if (word == "none" || word == "None") return make(position, Constant{});
    if (with_namespace && take_op(".")) return make(position, NamespaceRef{word, expect_name()});
    return make(position, Name{word});
  }

  ExprPtr postfix(ExprPtr node) {
    for (;;) {
      const Position position = current().position;
      if (take_op(".")) {
        if (current().kind == Kind::integer) {
          ExprPtr key = make(current().position, Constant{current().number});
          take();
          node = make(position, Subscript{std::move(node), std::move(key)});
        } else {
          node = make(position, Attribute{std::move(node), expect_name()});
        }
      } else if (take_op("[")) {
        node = subscript(std::move(node), position);
      } else if (current().is_op("(")) {
        node = make(position, Call{std::move(node), call_arguments()});
      } else {
        break;
      }
      link();
    }
    return node;
  }

  ExprPtr subscript(ExprPtr object, Position position) {
    std::vector<ExprPtr> keys;
    bool commas = false;
    do {
      if (current().is_op("]")) break;
      ExprPtr start = current().is_op(":") ? nullptr : expression();
      if (current().is_op(":")) {
        if (commas) fail_here("a slice cannot be one of several subscripts");
        Slice slice{std::move(object), std::move(start), nullptr, nullptr};
        take();
        if (!current().is_op(":") && !current().is_op("]")) slice.stop = expression();
        if (take_op(":") && !current().is_op("]")) slice.step = expression();
        expect_op("]");
        return make(position, std::move(slice));
      }
      keys.push_back(std::move(start));
    } while (take_op(",") && (commas = true));
    expect_op("]");
    if (keys.size() == 1) return make(position, Subscript{std::move(object), std::move(keys[0])});
    return make(position,
                Subscript{std::move(object), make(position, TupleLiteral{std::move(keys)})});
  }

  CallArguments call_arguments() {
    CallArguments arguments;
    expect_op("(");
    while (!current().is_op(")")) {
      const Position position = current().position;
      bool in_order = !arguments.dict;
      if (take_op("*")) {
        in_order = in_order && !arguments.list;
        arguments.list = expression();
      } else if (take_op("**")) {
        arguments.dict = expression();
      } else if (current().kind == Kind::name && ahead().is_op("=")) {
        std::string name = take().name;
        take();
        arguments.named.emplace_back(std::move(name), expression());
      } else {
        in_order = in_order && !arguments.list && arguments.named.empty();
        arguments.positional.push_back(expression());
      }
      if (!in_order) fail_at(where_, position, "invalid order of arguments in a call");
      if (!take_op(",")) break;
    }
    expect_op(")");
    return arguments;
  }

  // `| name(...) | ...`; at the head of a filter block the first has no bar. Null where none is.
  ExprPtr filters(ExprPtr node, bool bare) {
    while (bare || current().is_op("|")) {
      if (!bare) take();
      bare = false;
      const Position position = current().position;
      Filter filter{std::move(node), expect_name(), {}};
      while (take_op(".")) filter.name += "." + expect_name();
      if (current().is_op("(")) filter.arguments = call_arguments();
      node = make(position, std::move(filter));
      link();
    }
    return node;
  }

  ExprPtr filters_and_tests(ExprPtr node) {
    for (;;) {
      const Position position = current().position;
      if (current().is_op("|"))
        node = filters(std::move(node), false);
      else if (current().is_name("is"))
        node = test(std::move(node));
      else if (current().is_op("("))
        node = make(position, Call{std::move(node), call_arguments()});
      else
        break;
      link();
    }
    return node;
  }

  ExprPtr test(ExprPtr operand) {
    take();  // is
    const bool negated = take_name("not");
    const Position position = current().position;
    Test node{std::move(operand), expect_name(), {}};
    while (take_op(".")) node.name += "." + expect_name();
    const Token& next = current();
    if (next.is_op("(")) {
      node.arguments = call_arguments();
    } else if ((next.kind == Kind::name && !next.is("else") && !next.is("or") && !next.is("and")) ||
               next.kind == Kind::string || next.kind == Kind::integer || next.kind == Kind::real ||
               next.is_op("[") || next.is_op("{")) {
      if (next.is_name("is")) fail_here("tests with 'is' cannot be chained");
      node.arguments.positional.push_back(postfix(primary(false)));
    }
    ExprPtr result = make(position, std::move(node));
    return negated ? make(position, Not{std::move(result)}) : std::move(result);
  }

  std::string_view where_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  std::string ended_by_;  // the tag that ended the last statements()
  int nesting_ = 0, links_ = 0, loops_ = 0;
};

}  // namespace

Body parse(std::string_view source, std::string_view where) { return Parser(source, where).run(); }

}  // namespace stemma::jinja
