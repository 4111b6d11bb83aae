// Trains tokenizers: byte-level BPE, BPE on characters, WordPiece, Unigram.
// BPE makes the merges that pip's tokenizers makes of the same texts (BpeTrainer; for byte-level
// BPE with ByteLevel's expression and the whole byte alphabet). WordPiece is its trainer with the
// order of words, which is random there, fixed; Unigram follows sentencepiece. All give the same
// vocabulary for any order of the texts and any number of threads; what they make loads in pip's
// tokenizers. Texts may be more than memory holds: only distinct words are kept, up to max_words of
// them (train/word_counts.h). Errors: Code::kUsage for sizes out of range.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/team.h"
#include "text/tokenizer.h"

namespace stemma {

enum class TokenizerKind : uint8_t { byte_bpe, bpe, wordpiece, unigram };

struct TokenizerTraining {
  TokenizerKind kind = TokenizerKind::byte_bpe;
  int vocab_size = 30000;      // special tokens and the alphabet included
  uint64_t min_frequency = 0;  // BPE, WordPiece: of a pair, to be merged
  // First in the vocabulary; empty: <|endoftext|> for byte-level BPE, [PAD], [UNK], [CLS], [SEP]
  // and [MASK] for WordPiece, <unk>, <s> and </s> for the others. The first of byte-level BPE is
  // the end of text; names that are well known have their roles.
  std::vector<std::string> special_tokens = {};
  // BPE, WordPiece: the most frequent characters only; 0: all. Of equally frequent ones those of
  // the least code points (the reference draws among them anew on every run).
  int limit_alphabet = 0;
  bool lowercase = true;  // WordPiece: as BERT uncased
  size_t max_words = size_t{1} << 24;
  // Told now and then how much of how much is done; may be empty.
  std::function<void(int done, int total)> progress = {};
};

// Gives the next text, std::nullopt at the end. Texts are independent: words do not cross them.
using TextSource = std::function<std::optional<std::string_view>()>;

Tokenizer train_tokenizer(const TextSource& texts, const TokenizerTraining& training, Team& team);
Tokenizer train_tokenizer(std::span<const std::string_view> texts,
                          const TokenizerTraining& training, Team& team);

}  // namespace stemma
