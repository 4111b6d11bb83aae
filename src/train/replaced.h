// Replaced-token detection with gradient-disentangled sharing of embeddings (DeBERTa-V3; He et al.
// 2023, on Clark et al. 2020). A generator learns to fill in masked tokens; tokens drawn from what
// it predicts replace them, and a discriminator learns to tell which tokens are not the original
// ones. The discriminator's embedding is the generator's, a constant to it, plus a table of its own
// that begins at zero. Each model takes an optimiser step of its own, on a tape of its own; nothing
// flows through the drawing.
#pragma once

#include "base/rng.h"
#include "model/checkpoint.h"
#include "train/step.h"

namespace stemma {

// The discriminator of a config.json, with an embedding on top of another model's
// (EmbedSpec::base).
Checkpoint make_discriminator(Json config);
// Binds it to the generator's; both are flat, the discriminator's own table holding what it adds.
void share_embedding(const Model& generator, Model& discriminator);
// The discriminator as it is published: one embedding, the sum of both. Its other parameters are
// the discriminator's own memory.
Checkpoint merged(Ctx& c, const Checkpoint& discriminator);

struct ReplacedResult {
  StepResult generator, discriminator;  // the latter's loss without its weight
  int64_t replaced = 0;                 // tokens that differ from the original ones
};

// `parts` are masked sequences with the original tokens as labels. The discriminator's loss is the
// mean over all tokens, weighted by `weight`. Draws are keyed by the place of a token in its
// sequence under key.at(sequence of the step).
struct ReplacedStep {
  Model &generator, &discriminator;
  Optimizer &of_generator, &of_discriminator;
  double weight = 10;
};
ReplacedResult replaced_step(Ctx& c, const ReplacedStep& step, std::span<const TrainPart> parts,
                             double lr, const RngKey& key);

// The losses alone, of both.
struct ReplacedLoss {
  LossSum generator, discriminator;
};
ReplacedLoss evaluate_replaced(Ctx& c, const Model& generator, const Model& discriminator,
                               const TrainPart& part, const RngKey& key);

}  // namespace stemma
