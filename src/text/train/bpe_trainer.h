// Learns the merges of BPE from words with counts, as BpeTrainer of pip's tokenizers does: the same
// merges in the same order. With a prefix of continuing pieces these are WordPiece's tokens.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer_file.h"
#include "text/train/word_counts.h"

namespace stemma {

// Told now and then how much of how much is done.
using TrainingProgress = std::function<void(int done, int total)>;

struct BpeLesson {
  int vocab_size = 0;                       // tokens, all told
  uint64_t min_frequency = 0;               // of a pair, to be merged
  std::vector<std::string> special_tokens;  // the first tokens
  std::string prefix;                       // of continuing pieces
  // Words are bytes that stand for their images (byte_level.h), whose alphabet is there as a whole.
  bool byte_level = false;
  int limit_alphabet = 0;  // keep only so many characters, the most frequent ones; 0: all
  TrainingProgress progress = {};
};

struct LearnedBpe {
  std::vector<std::string> tokens;  // by id
  Merges merges;
};

LearnedBpe learn_bpe(std::span<const CountedWord> words, const BpeLesson& lesson);

}  // namespace stemma
