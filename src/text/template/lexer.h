// Template source to tokens, as jinja2's lexer does with trim_blocks and lstrip_blocks on:
// the newline behind a block or comment goes, so does white space between a line's start and one;
// `-` at a tag takes all white space on that side, `+` keeps it. One newline at the end of the
// source is dropped. Comments and {% raw %} are resolved here.
// Errors: Code::kFailed, [where:line:column]. Columns count characters from 1.
// Source: jinja2 3.1 lexer.py.
#pragma once

#include <vector>

#include "text/template/value.h"

namespace stemma::jinja {

struct Position {
  uint32_t line = 1, column = 1;
};

[[noreturn]] void fail_at(std::string_view where, Position position, std::string_view message);

struct Token {
  enum class Kind : uint8_t {
    data,
    variable_begin,
    variable_end,
    block_begin,
    block_end,
    name,
    string,
    integer,
    real,
    op,
    end,
  };
  Kind kind = Kind::end;
  Position position;
  Text text;         // data, string
  std::string name;  // name, op
  Value number;      // integer, real

  bool is(std::string_view op_or_name) const {
    return (kind == Kind::op || kind == Kind::name) && name == op_or_name;
  }
  bool is_op(std::string_view op) const { return kind == Kind::op && name == op; }
  bool is_name(std::string_view word) const { return kind == Kind::name && name == word; }
};

std::string describe(const Token& token);

std::vector<Token> tokenize(std::string_view source, std::string_view where);

}  // namespace stemma::jinja
