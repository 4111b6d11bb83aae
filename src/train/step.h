// Step: one optimiser step, and the loss of rows that are only looked at. This is all there is of
// training as arithmetic; what lies around it is logistics.
// Errors: Code::kFailed for a loss or a gradient that is not finite; the parameters are then as
// they were before the step.
#pragma once

#include <span>

#include "nn/batch.h"
#include "train/objectives.h"
#include "train/optimizer.h"

namespace stemma {

// Rows of a step that are computed together, and what each token's row has to predict.
struct TrainPart {
  Batch batch;
  Ints labels;           // [T]; causal: already those of the next token
  Ints sentence_labels;  // [S], or empty: the class of each sequence
};

struct StepResult {
  double loss = 0;       // mean over the counted labels of all parts, plus that over sequences
  double grad_norm = 0;  // before clipping
  int64_t counted = 0;
};

// Gradients, for what the optimiser changes, of the mean loss over all counted labels (plus, where
// sequences have classes, the mean loss over sequences), clipped,
// then one update at rate `lr`. How the rows are cut into parts changes the memory needed and not
// the result (but for rounding). Corrections of routers follow their loads.
StepResult train_step(Ctx& c, Model& model, std::span<const TrainPart> parts, Optimizer& optimizer,
                      double lr);

// The loss alone: nothing is recorded and nothing changes.
LossSum evaluate(Ctx& c, const Model& model, const TrainPart& part);

}  // namespace stemma
