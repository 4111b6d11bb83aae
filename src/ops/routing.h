// Routing: which experts a token goes through and what each of them counts, from a score for every
// expert. The choice has no gradient; the weights have one, through the scores of the chosen.
// Letters: T tokens, E experts, k experts a token. Scores are f32 [T,E].
// Sources: Shazeer et al. 2017; DeepSeek-AI 2024 (V2: groups; V3: sigmoid scores, a correction that
// balances the loads without a loss, groups by their two best).
#pragma once

#include "tensor/tensor.h"

namespace stemma {

struct Routing {
  enum class Scores { softmax, sigmoid };
  int experts = 0, chosen = 0;
  Scores scores = Scores::softmax;
  // Experts lie in `groups` of equal size; only those of the `kept_groups` best can be chosen. A
  // group is as good as the sum of its `group_best` best.
  int groups = 1, kept_groups = 1, group_best = 2;
  bool corrected = false;  // the choice, not the weights, adds a number to each expert's score
  bool normalised = true;  // the weights of a token are divided by their sum
  double scale = 1;        // and then multiplied by this
  bool operator==(const Routing&) const = default;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("experts", s.experts);
    v("chosen", s.chosen);
    v("scores", s.scores);
    v("groups", s.groups);
    v("kept_groups", s.kept_groups);
    v("group_best", s.group_best);
    v("corrected", s.corrected);
    v("normalised", s.normalised);
    v("scale", s.scale);
  }
};

// Throws where the numbers of experts and groups do not fit each other.
void check_routing(const Routing& routing);

Tensor expert_scores(Ctx& c, const Tensor& logits, const Routing& routing);

// i32 [T,k], ascending in each row. `correction` [E] may be undefined. Of equal scores the first
// expert's counts as better. A row's choice depends on its own scores alone.
Tensor choose_experts(Ctx& c, const Tensor& scores, const Tensor& correction,
                      const Routing& routing);

// [T,k], of the chosen experts.
Tensor expert_weights(Ctx& c, const Tensor& scores, const Tensor& choice, const Routing& routing);

}  // namespace stemma
