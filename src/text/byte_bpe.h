// The tokenizer.json of byte-level BPE vocabularies that Stemma makes itself.
#pragma once

#include <string>
#include <vector>

#include "text/tokenizer.h"
#include "text/tokenizer_file.h"

namespace stemma {

// The special tokens must be in the vocabulary;
// the first is the end of text. With `split`, text is cut by GPT-2's expression first.
Tokenizer make_byte_bpe(Vocab vocab, Merges merges, const std::vector<std::string>& special_tokens,
                        bool split);

}  // namespace stemma
