// The tokenizer.json of byte-level BPE vocabularies that Stemma makes itself.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "text/tokenizer.h"

namespace stemma {

// `vocab` and `merges` in the form of tokenizer.json. The special tokens must be in the vocabulary;
// the first is the end of text. With `split`, text is cut by GPT-2's expression first.
Tokenizer make_byte_bpe(Json vocab, Json merges, const std::vector<std::string>& special_tokens,
                        bool split);

}  // namespace stemma
