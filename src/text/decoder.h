// Decoders of tokenizer.json: tokens back to text.
// Errors: Code::kUnsupported for a type that is not built, Code::kFailed for a malformed one.
// Thread safety: const objects may be used from many threads.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace stemma {

class Decoder {
 public:
  virtual ~Decoder() = default;
  // Rewrites the texts of a whole run of tokens; joined, the result is the text.
  virtual void apply(std::vector<std::string>& tokens) const = 0;
  // How many of the first tokens give text that no token behind them can change.
  virtual size_t settled(std::span<const std::string> tokens) const { return tokens.size(); }
};

// Of the JSON of one decoder.
std::unique_ptr<Decoder> parse_decoder(const Json& json, std::string_view where);

}  // namespace stemma
