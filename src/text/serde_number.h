// Numbers as the reference's JSON reader (serde_json without float_roundtrip) reads them: digits
// into an integer of 64 bits, then one multiplication or division by a power of ten. The result may
// be off by one in the last place; equal scores of tokens are so only when read like this.
#pragma once

#include <string>
#include <string_view>

namespace stemma {

// Of the text of a JSON number; Code::kFailed where it is beyond all doubles.
double serde_number(std::string_view text, std::string_view where);

// A text that is read back as exactly this (finite) number, where there is one: the shortest text
// need not be.
std::string serde_text(double value);

}  // namespace stemma
