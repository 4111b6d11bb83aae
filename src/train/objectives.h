// Objectives: the loss of a batch as a function of the model's last hidden states.
// Language modelling gives a sum and a count, so that one mean can be taken over a whole step,
// however it is cut into parts. class_loss() is what a published class computes: means, as
// transformers' loss_utils and model classes take them.
// Letters: T tokens, S sequences. Labels below 0 are not counted.
// Errors: Code::kUnsupported where the model has no head for it, Code::kFailed for labels that do
// not fit.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/model.h"

namespace stemma {

struct LossSum {
  Tensor sum;         // scalar; undefined where nothing is counted
  int64_t count = 0;  // labels that are counted
};

// labels [T]: the right answer at each row (for a causal model: the token after it). Only labelled
// rows meet the vocabulary.
LossSum language_loss(Ctx& c, const Model& model, const Tensor& hidden, const Ints& labels);

// language_loss() and, where the model has modules for further tokens, their share of theirs: the
// sum over modules of each row's loss at the label of the token that it predicts, divided by their
// number. What training minimises; the count is the main head's.
LossSum training_loss(Ctx& c, const Model& model, const Batch& batch, const Tensor& hidden,
                      const Ints& labels);

// Of a model with a pooler and a classifier that reads it: the sum over the batch's sequences of
// -log softmax of the class `labels` [S] name.
Tensor sentence_loss(Ctx& c, const Model& model, const Batch& batch, const Tensor& hidden,
                     const Ints& labels);

// What each row of a causal model has to predict, given the label of each token [T]: the label of
// the row after it in the same sequence, -100 at the end.
Ints next_labels(const Stream& stream, const Ints& labels);

// Label inputs by their published names, in ragged layout:
//   labels: i32 [T] for LM heads (unshifted, but for a model that reads a source what each row has
//     to predict) and token classification; [S] or [S,labels] of i32 or
//     f32 for sequence classes; i32 [S / choices] for multiple choice;
//   next_sentence_label: i32 [S]; start_positions, end_positions: i32 [S], within each sequence, a
//     position outside it not being counted.
using Labels = std::vector<std::pair<std::string, Tensor>>;

// The scalar loss of the model's class: the sum of what its heads lose.
Tensor class_loss(Ctx& c, const Model& model, const Batch& batch, const Tensor& hidden,
                  const Labels& labels);

}  // namespace stemma
