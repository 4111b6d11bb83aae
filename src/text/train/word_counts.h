// How often each word occurs in many texts, after a normaliser and a pre-tokenizer.
// Texts come in batches, which threads share; counts are sums, so the result does not depend on the
// number of threads. Memory is bounded: beyond `max_words` distinct words the rarest are forgotten
// by lossy counting (Manku and Motwani 2002); up to there counts are exact.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/team.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"

namespace stemma {

struct CountedWord {
  std::string text;
  uint64_t count;
};

class WordCounter {
 public:
  // Both may be null.
  WordCounter(const Normalizer* normalizer, const PreTokenizer* pre_tokenizer, size_t max_words)
      : normalizer_(normalizer), pre_tokenizer_(pre_tokenizer), max_words_(max_words) {}

  void add(std::span<const std::string> texts, Team& team);
  // Sorted by their bytes; the counter is empty afterwards.
  std::vector<CountedWord> take();

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const;
  };
  using Counts = std::unordered_map<std::string, uint64_t, Hash, std::equal_to<>>;
  void count(std::string_view text, PreTokens& pieces, Counts& counts) const;
  void forget();

  const Normalizer* normalizer_;
  const PreTokenizer* pre_tokenizer_;
  size_t max_words_;
  uint64_t rare_ = 0;  // words of this count are forgotten next
  Counts counts_;
};

}  // namespace stemma
