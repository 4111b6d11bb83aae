// Compositions of primitives; the choice is plain code over a few hundred numbers a token.
#include "ops/routing.h"

#include <algorithm>
#include <numeric>

#include "ops/activation.h"
#include "ops/op.h"
#include "ops/softmax.h"

namespace stemma {
namespace {

// The `count` best of the indices in `order`, moved to its front: by falling value, then rising
// index.
void best_first(Ints& order, size_t count, const std::vector<float>& values) {
  std::partial_sort(order.begin(), order.begin() + static_cast<int64_t>(count), order.end(),
                    [&](int32_t a, int32_t b) {
                      const float x = values[static_cast<size_t>(a)],
                                  y = values[static_cast<size_t>(b)];
                      return x > y || (x == y && a < b);
                    });
}

// The experts of one token.
class Chooser {
 public:
  explicit Chooser(const Routing& r)
      : r_(r), size_(r.experts / r.groups), values_(static_cast<size_t>(r.experts)) {}

  void choose(const float* scores, const float* correction, int32_t* out) {
    for (size_t e = 0; e < values_.size(); ++e)
      values_[e] = correction ? scores[e] + correction[e] : scores[e];
    Ints candidates = from_best_groups();
    const auto chosen = static_cast<size_t>(r_.chosen);
    best_first(candidates, chosen, values_);
    std::sort(candidates.begin(), candidates.begin() + r_.chosen);
    std::copy_n(candidates.begin(), chosen, out);
  }

 private:
  Ints members(int32_t group) const {
    Ints all(static_cast<size_t>(size_));
    std::iota(all.begin(), all.end(), group * size_);
    return all;
  }

  Ints from_best_groups() const {
    Ints groups(static_cast<size_t>(r_.groups)), candidates;
    std::iota(groups.begin(), groups.end(), 0);
    if (r_.kept_groups < r_.groups) {
      std::vector<float> goodness;
      for (int32_t g : groups) {
        Ints order = members(g);
        const auto best = static_cast<size_t>(std::min(r_.group_best, size_));
        best_first(order, best, values_);
        float sum = 0;
        for (size_t i = 0; i < best; ++i) sum += values_[static_cast<size_t>(order[i])];
        goodness.push_back(sum);
      }
      best_first(groups, static_cast<size_t>(r_.kept_groups), goodness);
      groups.resize(static_cast<size_t>(r_.kept_groups));
    }
    for (int32_t g : groups)
      for (int32_t e : members(g)) candidates.push_back(e);
    return candidates;
  }

  const Routing& r_;
  int size_;  // of a group
  std::vector<float> values_;
};

struct ExpertWeights {
  Tensor scores, choice;
  Routing routing;
  Tensor weights = {};
};

void define(Ctx& c, ExpertWeights& p) {
  const int64_t tokens = p.choice.extent(0), chosen = p.choice.extent(1),
                experts = p.scores.extent(1);
  Ints at = p.choice.to_vector<int32_t>();  // in the scores as one row
  for (size_t i = 0; i < at.size(); ++i)
    at[i] += static_cast<int32_t>(static_cast<int64_t>(i) / chosen * experts);
  const Tensor flat = reshape(c, p.scores, {tokens * experts});
  p.weights = reshape(c, gather(c, flat, Tensor::from(c, at)), {tokens, chosen});
  // As the reference: a sum of nothing but zeros must not divide by zero.
  if (p.routing.normalised) p.weights = div(c, p.weights, add(c, sum(c, p.weights, 1), 1e-20));
  if (p.routing.scale != 1) p.weights = mul(c, p.weights, p.routing.scale);
}

OpCase of(std::string name, Routing routing) {
  return {.name = std::move(name),
          .inputs =
              [routing](int64_t rows, int64_t) {
                return std::vector{OpInput::batch({rows, routing.experts}).between(0.05, 1),
                                   OpInput::indices({rows, routing.chosen}, 0, routing.experts)};
              },
          .run = [routing](Ctx& c, const Tensors& in) -> Tensors {
            return {expert_weights(c, in[0], in[1], routing)};
          }};
}

std::vector<OpCase> cases() {
  return {of("normalised", {.experts = 12, .chosen = 3, .scale = 2.5}),
          of("as_they_are", {.experts = 5, .chosen = 2, .normalised = false})};
}

const Op<ExpertWeights> kExpertWeights{{.name = "expert_weights",
                                        .operands = {&ExpertWeights::scores},
                                        .constants = {&ExpertWeights::choice},
                                        .results = {&ExpertWeights::weights},
                                        .define = define,
                                        .cases = cases}};

}  // namespace

void check_routing(const Routing& r) {
  check(r.experts > 0 && r.groups > 0 && r.experts % r.groups == 0, "[routing] ", r.experts,
        " experts in ", r.groups, " groups; the groups must be equal");
  check(r.kept_groups > 0 && r.kept_groups <= r.groups && r.group_best > 0, "[routing] ",
        r.kept_groups, " of ", r.groups, " groups, by their best ", r.group_best);
  const int candidates = r.experts / r.groups * r.kept_groups;
  check(r.chosen > 0 && r.chosen <= candidates, "[routing] ", r.chosen, " experts a token of ",
        candidates, " that can be chosen");
}

Tensor expert_scores(Ctx& c, const Tensor& logits, const Routing& routing) {
  check(logits.rank() == 2 && logits.extent(1) == routing.experts, "[routing] logits ",
        logits.shape().to_string(), " for ", routing.experts, " experts; they must be [T,E]");
  return routing.scores == Routing::Scores::softmax ? softmax(c, logits)
                                                    : activation(c, logits, Activation::sigmoid);
}

Tensor choose_experts(Ctx& c, const Tensor& given, const Tensor& correction,
                      const Routing& routing) {
  check_routing(routing);
  check(given.rank() == 2 && given.extent(1) == routing.experts, "[routing] scores ",
        given.shape().to_string(), " for ", routing.experts, " experts; they must be [T,E]");
  check(!correction || correction.shape() == Shape{routing.experts}, "[routing] a correction ",
        correction.shape().to_string(), "; it must be [", routing.experts, "]");
  Ctx quiet = c;
  quiet.tape = nullptr;
  const Tensor scores = contiguous(quiet, given);
  const Tensor choice = Tensor::empty(c, {scores.extent(0), routing.chosen}, DType::i32);
  const float* added = correction ? correction.data<float>() : nullptr;
  constexpr int64_t kGrain = 64;
  c.team->run_range(scores.extent(0), kGrain, [&](int64_t begin, int64_t end) {
    Chooser chooser(routing);
    for (int64_t t = begin; t < end; ++t)
      chooser.choose(scores.data<float>() + t * routing.experts, added,
                     choice.data<int32_t>() + t * routing.chosen);
  });
  return choice;
}

Tensor expert_weights(Ctx& c, const Tensor& scores, const Tensor& choice, const Routing& routing) {
  check(scores.rank() == 2 && choice.rank() == 2 && scores.extent(0) == choice.extent(0) &&
            scores.extent(1) == routing.experts && choice.extent(1) == routing.chosen,
        "[routing] scores ", scores.shape().to_string(), " and a choice ",
        choice.shape().to_string(), "; they must be [T,", routing.experts, "] and [T,",
        routing.chosen, "]");
  return kExpertWeights(c, {.scores = scores, .choice = choice, .routing = routing}).weights;
}

}  // namespace stemma
