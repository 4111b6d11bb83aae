// Activations: the memory that the forward pass of a training step leaves for the backward pass,
// and what the latter needs besides. It is measured, not reckoned: a model with the first two
// blocks and their weights' shapes takes one step on a few tokens, and what that takes is scaled
// up. So it follows from the code of the ops, whatever they keep. Takes as long as a small part of
// a step.
#pragma once

#include <cstdint>

#include "model/model.h"
#include "train/recipe.h"

namespace stemma {

// The most bytes beside weights, gradients, moments and packings, in a step of this recipe.
int64_t activation_bytes(Ctx& c, const ModelSpec& spec, const Recipe& recipe);

}  // namespace stemma
