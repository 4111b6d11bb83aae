// Sampling: from the logits of one row to a token. Processors run in transformers' order:
// repetition penalty; then, if sampling, temperature, top-k, top-p, min-p; then a draw keyed by
// (seed, step). Scratch lies in `memory`. Source: transformers generation/logits_process.py.
#pragma once

#include <cstdint>
#include <memory_resource>
#include <span>

#include "tensor/tensor.h"

namespace stemma {

struct Sampling {
  bool sample = false;  // false: the largest logit, the first of equals
  double temperature = 1;
  int top_k = 0;  // 0: all; ties with the k-th are kept
  double top_p = 1;
  double min_p = 0;
  double repetition_penalty = 1;
  uint64_t seed = 0;
};

// Divides (multiplies, where negative) the score of each distinct id in `seen` by the penalty,
// once.
void penalise_repetition(std::span<float> scores, const Ints& seen, double penalty,
                         std::pmr::memory_resource* memory = std::pmr::new_delete_resource());

// Sets what temperature, top-k, top-p and min-p exclude to minus infinity; at least one id stays.
void warp(std::span<float> scores, const Sampling& sampling,
          std::pmr::memory_resource* memory = std::pmr::new_delete_resource());

// The next token; `scores` is used as scratch. `step` counts the tokens generated before this one.
int32_t choose(std::span<float> scores, const Ints& seen, const Sampling& sampling, int64_t step,
               std::pmr::memory_resource* memory = std::pmr::new_delete_resource());

}  // namespace stemma
