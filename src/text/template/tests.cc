// The tests of jinja2 3.1: what may stand behind `is`, and in select, reject and their kin.
#include <cmath>

#include "text/template/interpreter.h"
#include "text/template/print.h"

namespace stemma::jinja {
namespace {

const Value& operand_of(const char* name, const Arguments& arguments) {
  if (arguments.positional.size() != 1 || !arguments.named.empty())
    raise("the test '", name, "' takes one argument");
  return arguments.positional[0];
}

bool divides(Runtime& r, const Value& x, const Value& by, int64_t rest) {
  return equal(r.budget(), binary(r.budget(), BinaryOp::mod, x, by), Value(rest));
}

template <Kind kind>
bool is_kind(Runtime&, const Value& x, const Arguments&) {
  return x.is(kind);
}

template <bool wanted>
bool is_exactly(Runtime&, const Value& x, const Arguments&) {
  return x.is(Kind::boolean) && x.boolean() == wanted;
}

template <CompareOp op>
bool compares(Runtime& r, const Value& x, const Arguments& arguments) {
  return compare(r.budget(), op, x, operand_of("comparison", arguments));
}

// str.islower and str.isupper: no letter of the other cases, and one of this.
template <bool wanted_upper>
bool has_case(Runtime& r, const Value& x, const Arguments&) {
  bool found = false;
  for (char32_t c : r.str(x)) {
    if (is_title(c) || (wanted_upper ? is_lower(c) : is_upper(c))) return false;
    found |= wanted_upper ? is_upper(c) : is_lower(c);
  }
  return found;
}

bool is_same(Runtime&, const Value& x, const Arguments& arguments) {
  const Value& y = operand_of("sameas", arguments);
  if (x.kind() != y.kind()) return false;
  switch (x.kind()) {
    case Kind::none:
      return true;
    case Kind::boolean:
    case Kind::integer:  // as of small integers, which Python shares
      return x.integer() == y.integer();
    case Kind::string:  // as of equal constants, which Python shares
      return equal(x.text(), y.text());
    default:
      return x.identity() != nullptr && x.identity() == y.identity();
  }
}

}  // namespace

TestFunction find_test(std::string_view name) {
  using R = Runtime&;
  using V = const Value&;
  using A = const Arguments&;
  static const std::unordered_map<std::string_view, TestFunction> tests = {
      {"!=", compares<CompareOp::ne>},
      {"<", compares<CompareOp::lt>},
      {"<=", compares<CompareOp::le>},
      {"==", compares<CompareOp::eq>},
      {">", compares<CompareOp::gt>},
      {">=", compares<CompareOp::ge>},
      {"boolean", is_kind<Kind::boolean>},
      {"callable",
       [](R, V x, A) {
         return x.is_undefined() || (x.special() != nullptr && x.special()->callable());
       }},
      {"defined", [](R, V x, A) { return !x.is_undefined(); }},
      {"divisibleby", [](R r, V x, A a) { return divides(r, x, operand_of("divisibleby", a), 0); }},
      {"eq", compares<CompareOp::eq>},
      {"equalto", compares<CompareOp::eq>},
      {"escaped", [](R, V x, A) { return x.is_string() && x.safe(); }},
      {"even", [](R r, V x, A) { return divides(r, x, 2, 0); }},
      {"false", is_exactly<false>},
      {"filter",
       [](R, V x, A) { return x.is_string() && find_filter(encode(x.text())) != nullptr; }},
      {"float", is_kind<Kind::real>},
      {"ge", compares<CompareOp::ge>},
      {"greaterthan", compares<CompareOp::gt>},
      {"gt", compares<CompareOp::gt>},
      {"in", compares<CompareOp::in>},
      {"integer", [](R, V x, A) { return x.is(Kind::integer) || x.is(Kind::big); }},
      {"iterable", [](R, V x, A) { return is_iterable(x); }},
      {"le", compares<CompareOp::le>},
      {"lessthan", compares<CompareOp::lt>},
      {"lower", has_case<false>},
      {"lt", compares<CompareOp::lt>},
      {"mapping", is_kind<Kind::dict>},
      {"ne", compares<CompareOp::ne>},
      {"none", is_kind<Kind::none>},
      {"number", [](R, V x, A) { return x.is_number() || x.is(Kind::big); }},
      {"odd", [](R r, V x, A) { return divides(r, x, 2, 1); }},
      {"sameas", is_same},
      {"sequence", [](R, V x, A) { return length_of(x).has_value() && !x.is(Kind::view); }},
      {"string", is_kind<Kind::string>},
      {"test", [](R, V x, A) { return x.is_string() && find_test(encode(x.text())) != nullptr; }},
      {"true", is_exactly<true>},
      {"undefined", is_kind<Kind::undefined>},
      {"upper", has_case<true>},
  };
  const auto found = tests.find(name);
  return found == tests.end() ? nullptr : found->second;
}

}  // namespace stemma::jinja
