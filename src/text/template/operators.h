// Python's operators over values: arithmetic, comparison, membership, subscripts, iteration.
// Errors: Failure with Python's reason (wrong types, division by zero, 64-bit overflow).
#pragma once

#include "text/template/value.h"

namespace stemma::jinja {

enum class BinaryOp : uint8_t { add, sub, mul, div, floordiv, mod, pow };
enum class CompareOp : uint8_t { eq, ne, lt, le, gt, ge, in, not_in };

Value binary(Budget& b, BinaryOp op, const Value& x, const Value& y);
Value negate(const Value& x, bool minus);  // unary - and +
bool compare(Budget& b, CompareOp op, const Value& x, const Value& y);
bool less(Budget& b, const Value& x, const Value& y);
bool contains(Budget& b, const Value& container, const Value& item);

// What iter() walks: the items of a sequence, keys of a dict, characters of a string, nothing of
// undefined. Reads an iterator to its end.
std::vector<Value> items_of(Budget& b, const Value& value);
bool is_iterable(const Value& value);
std::optional<int64_t> length_of(const Value& value);  // none where len() refuses
int64_t length(const Value& value);                    // fails there

// x[key]: nothing where Python raises a TypeError or LookupError.
std::optional<Value> item(Budget& b, const Value& x, const Value& key);
struct SliceBounds {
  Value start, stop, step;
};
std::optional<Value> slice(Budget& b, const Value& x, const SliceBounds& bounds);

Value escape(Budget& b, const Value& value);  // HTML, as Markup

}  // namespace stemma::jinja
