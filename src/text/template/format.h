// Python's two ways of formatting: 'text %s' % values, and 'text {}'.format(values).
// Covered are all conversions of strings, integers and floats; what is not says so.
#pragma once

#include "text/template/value.h"

namespace stemma::jinja {

Value percent_format(Budget& b, const Value& format, const Value& values);
Value brace_format(Runtime& runtime, const Value& format, const Arguments& arguments);

}  // namespace stemma::jinja
