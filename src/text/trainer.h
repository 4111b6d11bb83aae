// Trains byte-level BPE vocabularies, as pip's tokenizers does with BpeTrainer and ByteLevel
// (add_prefix_space = false, the GPT-2 expression, the whole byte alphabet): the same merges in the
// same order, for any order of the texts.
// Errors: Code::kUsage for sizes out of range.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace stemma {

struct BpeTraining {
  int vocab_size = 30000;      // special tokens and the 256 bytes included
  uint64_t min_frequency = 0;  // of a pair, to be merged
  // First in the vocabulary. The first of them is the end of text, unless there are none; [PAD],
  // [CLS], [SEP] and [MASK] have the roles of these names.
  std::vector<std::string> special_tokens = {"<|endoftext|>"};
  // Told now and then how many of how many tokens are made; may be empty.
  std::function<void(int done, int total)> progress = {};
};

// Gives the next text, std::nullopt at the end. Texts are independent: words do not cross them.
using TextSource = std::function<std::optional<std::string_view>()>;

Tokenizer train_byte_bpe(const TextSource& texts, const BpeTraining& options = {});
Tokenizer train_byte_bpe(std::span<const std::string_view> texts, const BpeTraining& options = {});

}  // namespace stemma
