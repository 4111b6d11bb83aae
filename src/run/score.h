// Scores of text under a causal model, and candidates for masks under a masked one.
#pragma once

#include <span>
#include <vector>

#include "model/model.h"
#include "text/tokenizer.h"

namespace stemma {

// Natural-log probability of each id given those before it; the first has none, unless it is given
// a source, which a model with an encoder reads: then texts are targets. Texts longer than the
// model's positions are scored in windows that overlap by half, each token with at least half a
// window of context where there is one.
struct Score {
  Ints ids;
  std::vector<double> logprobs;  // [ids - 1]; of a target [ids]
  double perplexity = 0;         // exp(-mean(logprobs)); 1 where there are none
};
// `sources`, one a text, are for a model that reads them.
std::vector<Score> score(Ctx& c, const Model& model, std::span<const Ints> texts,
                         std::span<const Ints> sources = {});
Score score(Ctx& c, const Model& model, const Ints& ids);

struct Candidate {
  int32_t id;
  double probability;
};
// For each text the `count` most probable ids for each masked position, in order of position.
using Candidates = std::vector<std::vector<Candidate>>;
std::vector<Candidates> fill(Ctx& c, const Model& model, std::span<const Encoding> texts,
                             int32_t mask_id, int count);

}  // namespace stemma
