// Pre-tokenizers of tokenizer.json: how normalised text is cut into the pieces a model sees.
// Errors: Code::kUnsupported for a type or a pattern that is not built, Code::kFailed for a
// malformed one.
// Thread safety: const objects may be used from many threads.
#pragma once

#include <memory>
#include <string_view>

#include "base/json.h"
#include "text/pre_tokens.h"

namespace stemma {

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Cuts each piece that is no added token; never leaves empty pieces.
  virtual void apply(PreTokens& text) const = 0;
  // Whether apply() asks the text where its bytes came from.
  virtual bool asks_for_origins() const { return false; }
};

// Of the JSON of one pre-tokenizer.
std::unique_ptr<PreTokenizer> parse_pre_tokenizer(const Json& json, std::string_view where);

}  // namespace stemma
