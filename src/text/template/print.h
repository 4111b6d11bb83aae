// Values as text, exactly as Python writes them: str(), repr() and json.dumps().
// Marks of input (chars.h) stay on the characters that came from it, escapes included.
#pragma once

#include <optional>

#include "text/template/value.h"

namespace stemma::jinja {

std::string float_text(double value);  // 1.0, 1e-05, 1e+16, inf, nan
Text str(Budget& b, const Value& value);
Text repr(Budget& b, const Value& value);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<Text> indent;  // one level; none: everything on one line
  Text item_separator = U", ", key_separator = U": ";
};
Text json_text(Budget& b, const Value& value, const JsonStyle& style);

}  // namespace stemma::jinja
