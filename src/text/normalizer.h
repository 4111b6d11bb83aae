// Normalizers of tokenizer.json: what is done to text before it is cut.
// Errors: Code::kUnsupported for a type that is not built, Code::kFailed for a malformed one.
// Thread safety: const objects may be used from many threads.
#pragma once

#include <memory>
#include <string_view>

#include "base/json.h"
#include "text/normalized.h"

namespace stemma {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(Normalized& text) const = 0;
  // True where apply() is known, at a glance, to change nothing.
  virtual bool leaves_alone(std::string_view) const { return false; }
};

// Of the JSON of one normalizer.
std::unique_ptr<Normalizer> parse_normalizer(const Json& json, std::string_view where);

}  // namespace stemma
