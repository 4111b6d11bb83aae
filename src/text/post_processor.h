// Post-processors of tokenizer.json: special tokens around the sequences, type ids, trimmed
// offsets. Errors: Code::kUnsupported for a type that is not built, Code::kFailed for a malformed
// one. Thread safety: const objects may be used from many threads.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/encoding.h"

namespace stemma {

// One sequence on its way to the result.
struct Draft {
  Encoding encoding;
  // Of each token's text: how many characters of whitespace it begins and ends with. Kept only for
  // post-processors that trim offsets.
  struct Spaces {
    uint32_t leading, trailing;
  };
  std::vector<Spaces> spaces;
  // A window that truncation cut off: templates leave its type ids at the sequence's number, as the
  // reference does.
  bool cut_off = false;
};

// Some of its tokens. Drafts without offsets (or spaces) stay without.
Draft slice(const Draft& draft, const Window& window);

class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  // Special tokens that apply() adds.
  virtual int added(bool pair) const = 0;
  virtual bool trims_offsets() const { return false; }
  // Takes one draft a sequence; what it leaves is concatenated. Type ids are set to the sequence's
  // number before.
  virtual void apply(std::vector<Draft>& drafts, bool special_tokens) const = 0;
};

// Of the JSON of one post-processor.
std::unique_ptr<PostProcessor> parse_post_processor(const Json& json, std::string_view where);

}  // namespace stemma
