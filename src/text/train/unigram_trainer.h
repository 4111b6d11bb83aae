// Learns a Unigram vocabulary from words with counts (Kudo 2018, in sentencepiece's form): pieces
// that occur often, then rounds of expectation-maximisation, each of which drops the quarter of
// pieces whose loss hurts the likelihood least. The same result for any number of threads.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/team.h"
#include "text/model.h"
#include "text/train/bpe_trainer.h"

namespace stemma {

struct UnigramLesson {
  int size = 0;  // pieces; characters are pieces in any case
  int max_characters = 16;
  int seeds = 1'000'000;
  TrainingProgress progress = {};
};

// Best first.
std::vector<ScoredToken> learn_unigram(std::span<const CountedWord> words,
                                       const UnigramLesson& lesson, Team& team);

}  // namespace stemma
