// Plan: what a run will cost, known before its first step: parameters, memory, arithmetic, time.
// Memory is what the pool will count at its highest, within a few percent; time is an estimate
// (within a third, as a rule).
#pragma once

#include <cstdint>

#include "data/dataset.h"
#include "model/model.h"
#include "train/recipe.h"

namespace stemma {

struct Plan {
  int64_t parameters = 0;
  int64_t learnt = 0;           // of them, or of an adapter
  int64_t tokens_per_step = 0;  // where every sequence is full
  int64_t steps = 0;            // still to do
  // Bytes.
  int64_t weights = 0, gradients = 0, moments = 0;
  int64_t packed = 0;       // the weights again, as the matrix product wants them
  int64_t activations = 0;  // of one part of a step, at the highest
  int64_t memory() const { return weights + gradients + moments + packed + activations; }
  int64_t checkpoint = 0;  // on disk
  double flops_per_step = 0;
  double peak_flops = 0;        // of the machine, a second
  double seconds_per_step = 0;  // evaluation and saving not included

  // With another model that is trained in the same run, one after the other in each step.
  Plan& operator+=(const Plan& other);
};

// Probes the machine for a fraction of a second.
Plan make_plan(Ctx& c, const Model& model, const Recipe& recipe, int64_t steps_done);

// Arithmetic of one training pass over sequences of these lengths: 6 operations a weight and token
// (2 forwards, 4 backwards), the vocabulary only where a label is counted, and attention's products
// of the pairs that see each other.
double training_flops(const Model& model, const TokenBatch& batch);

}  // namespace stemma
