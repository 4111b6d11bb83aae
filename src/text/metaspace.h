// What the pre-tokenizer Metaspace and the decoder Metaspace share, and fields of one character.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/json.h"

namespace stemma {

struct Metaspace {
  enum class Prepend : uint8_t { always, first, never };
  char32_t replacement;  // stands for the space
  Prepend prepend;
  bool split;
};

Metaspace parse_metaspace(const Json& json, std::string_view where);

// A string of exactly one character.
char32_t parse_character(const Json& json, std::string_view key, std::string_view where);

}  // namespace stemma
