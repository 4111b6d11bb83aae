#include "nn/experts.h"

#include "ops/combine_rows.h"
#include "ops/grouped_linear.h"
#include "ops/primitives.h"

namespace stemma {
namespace {

// The rows of a batch, sorted by expert.
struct Grouped {
  Ints start;  // [E+1]: where each expert's rows begin
  Ints token;  // of each row
  Ints place;  // [T,k]: the row of each choice
};

Grouped grouped(const Ints& choice, int64_t chosen, int experts) {
  Grouped g{Ints(static_cast<size_t>(experts) + 1, 0), Ints(choice.size()), Ints(choice.size())};
  for (int32_t e : choice) ++g.start[static_cast<size_t>(e) + 1];
  for (size_t e = 1; e < g.start.size(); ++e) g.start[e] += g.start[e - 1];
  Ints next(g.start.begin(), g.start.end() - 1);
  for (size_t i = 0; i < choice.size(); ++i) {
    const int32_t row = next[static_cast<size_t>(choice[i])]++;
    g.token[static_cast<size_t>(row)] = static_cast<int32_t>(static_cast<int64_t>(i) / chosen);
    g.place[i] = row;
  }
  return g;
}

Ints loads(const Ints& start) {
  Ints n;
  for (size_t e = 0; e + 1 < start.size(); ++e) n.push_back(start[e + 1] - start[e]);
  return n;
}

}  // namespace

void ExpertLoads::add(Parameter& correction, const Ints& loads) {
  auto& sum = loads_[&correction];
  sum.resize(loads.size());
  for (size_t e = 0; e < loads.size(); ++e) sum[e] += loads[e];
}

void ExpertLoads::balance(double rate) {
  for (auto& [correction, loads] : loads_) {
    int64_t all = 0;
    for (int64_t n : loads) all += n;
    float* value = correction->value.data<float>();
    for (size_t e = 0; e < loads.size(); ++e) {
      // In whole numbers: the load times the number of experts against all rows.
      const int64_t short_of = all - loads[e] * std::ssize(loads);
      value[e] += static_cast<float>(rate * ((short_of > 0) - (short_of < 0)));
    }
  }
  loads_.clear();
}

ExpertsLayer declare(const Place& place, const Experts& spec) {
  const auto& [store, name, stack, width, std, out_std] = place;
  const Routing& routing = spec.routing;
  check_routing(routing);
  ExpertsLayer layer;
  layer.spec = spec;
  layer.router = Linear::declare(store, {{name + ".router", routing.experts, false}}, width, std);
  layer.router.weight->keep_in_f32();
  if (routing.corrected)
    layer.correction = &store.declare(name + ".router.correction", {routing.experts},
                                      Init::constant(0), Role::buffer);
  const auto gated = [&](const std::string& part, int inner) {
    Place at = place;
    at.name = name + part;
    return declare(at, Glu{inner, spec.act, false});
  };
  for (int e = 0; e < routing.experts; ++e) {
    const FeedForwardLayer expert = gated(cat(".experts.", e), spec.inner);
    for (Weight* weight : {expert.inner.weight, expert.down.weight}) weight->refuse_adapters();
    layer.inner.push_back(expert.inner.weight);
    layer.down.push_back(expert.down.weight);
  }
  if (spec.shared_inner > 0) layer.shared = gated(".shared", spec.shared_inner);
  return layer;
}

Tensor ExpertsLayer::operator()(Ctx& c, const Tensor& x) const {
  const Routing& routing = spec.routing;
  const Tensor scores = expert_scores(c, router(c, x), routing);
  const Tensor choice =
      choose_experts(c, scores, correction ? correction->value : Tensor(), routing);
  const Tensor weights = expert_weights(c, scores, choice, routing);
  const Grouped rows = grouped(choice.to_vector<int32_t>(), routing.chosen, routing.experts);
  if (c.loads && correction) c.loads->add(*correction, loads(rows.start));

  const Tensor taken = gather(c, x, Tensor::from(c, rows.token));
  const Tensor hidden =
      grouped_linear(c, taken, inner, rows.start, {.activation = spec.act, .gated = true});
  const Tensor given = grouped_linear(c, hidden, down, rows.start);
  const Tensor place = Tensor::from<int32_t>(c, rows.place, {choice.extent(0), choice.extent(1)});
  const Tensor sum = combine_rows(c, given, place, weights);
  return shared ? add(c, sum, (*shared)(c, x)) : sum;
}

}  // namespace stemma
