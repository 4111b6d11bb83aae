#include "train/plan.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "gemm/gemm.h"
#include "model/cost.h"
#include "simd/probe.h"
#include "train/activations.h"

namespace stemma {
namespace {

// Operations a second of the model's largest product, at the size that training gives it.
double product_rate(Ctx& c, int64_t m, int64_t n, int64_t k, double seconds) {
  using Clock = std::chrono::steady_clock;
  m = std::min<int64_t>(m, 1024), n = std::min<int64_t>(n, 1024), k = std::min<int64_t>(k, 1024);
  const std::vector<float> a(static_cast<size_t>(m * k), 0.5f), b(static_cast<size_t>(k * n), 0.5f);
  std::vector<float> out(static_cast<size_t>(m * n));
  const auto begin = Clock::now();
  double best = 0;
  do {
    const auto start = Clock::now();
    gemm(c, m, n, k, {a.data(), k}, {b.data(), n}, {}, out.data(), n);
    const std::chrono::duration<double> elapsed = Clock::now() - start;
    best = std::max(best, 2.0 * static_cast<double>(m * n * k) / elapsed.count());
  } while (std::chrono::duration<double>(Clock::now() - begin).count() < seconds);
  return best;
}

}  // namespace

double training_flops(const Model& model, const TokenBatch& batch) {
  return 3 *
         forward_flops(model, batch.start, static_cast<double>(batch.counted), batch.source_start);
}

Plan& Plan::operator+=(const Plan& other) {
  parameters += other.parameters, learnt += other.learnt;
  weights += other.weights, gradients += other.gradients, moments += other.moments;
  packed += other.packed, checkpoint += other.checkpoint;
  activations = std::max(activations, other.activations);
  flops_per_step += other.flops_per_step, seconds_per_step += other.seconds_per_step;
  return *this;
}

Plan make_plan(Ctx& c, const Model& model, const Recipe& recipe, int64_t steps_done) {
  const ModelSpec& spec = model.spec();
  Plan plan;
  plan.parameters = model.params().elements();
  const bool sources = has_source(recipe.objective);
  plan.tokens_per_step = recipe.batch * (recipe.target() + (sources ? recipe.length : 0));
  plan.steps = std::max<int64_t>(0, recipe.steps - steps_done);
  const bool adapts = !model.adapters().empty();
  plan.learnt = adapts ? model.adapters().front()->params().elements() : plan.parameters;
  plan.weights = Pool::footprint(4 * plan.parameters) + (adapts ? 4 * plan.learnt : 0);
  plan.gradients = Pool::footprint(4 * plan.learnt);
  plan.moments = 2 * Pool::footprint(4 * plan.learnt);
  plan.checkpoint = 12 * plan.learnt;
  for (const Weight& w : model.params().weights()) plan.packed += w.packed_bytes();
  plan.activations = activation_bytes(c, spec, recipe);
  const int64_t part = (recipe.batch + recipe.accumulation - 1) / recipe.accumulation;
  int inner = spec.embed.width;
  for (const BlockSpec& block : spec.stack().blocks)
    inner = std::max(inner, inner_width(block.ffn));

  const int32_t sequence[] = {0, static_cast<int32_t>(recipe.target())},
                source[] = {0, static_cast<int32_t>(recipe.length)};
  const auto length = static_cast<double>(recipe.target());
  plan.flops_per_step =
      3 * static_cast<double>(recipe.batch) *
      forward_flops(model, sequence, length * recipe.labelled(),
                    sources ? std::span<const int32_t>(source) : std::span<const int32_t>());
  constexpr double kProbe = 0.03;  // seconds
  plan.peak_flops = fma_peak(*c.team, kProbe);
  // What is not a product (norms, softmax, the optimiser) takes about a third more.
  constexpr double kBesidesProducts = 1.35;
  const double rate = product_rate(c, part * recipe.length, inner, spec.embed.width, kProbe);
  plan.seconds_per_step = kBesidesProducts * plan.flops_per_step / rate;
  return plan;
}

}  // namespace stemma
