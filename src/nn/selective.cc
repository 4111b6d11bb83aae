#include "nn/selective.h"

#include <cmath>

#include "ops/causal_conv.h"
#include "ops/glu.h"
#include "ops/selective_scan.h"
#include "ops/time_step.h"

namespace stemma {

ConvLayer ConvLayer::declare(ParamStore& store, const std::string& name, int channels, int taps,
                             bool bias, Activation act) {
  ConvLayer layer{channels, taps, act};
  layer.weight =
      &store.declare(name + ".weight", {channels, 1, taps}, Init::uniform(1 / std::sqrt(taps)));
  layer.weight->widened = true;
  if (bias) layer.bias = &store.declare(name + ".bias", {channels}, Init::constant(0));
  return layer;
}

Tensor ConvLayer::operator()(Ctx& c, const Tensor& x, const Ints& start, LayerState* tails) const {
  return causal_conv(c, x, reshape(c, weight->value, {channels, taps}),
                     bias ? bias->value : Tensor(), start, act,
                     tails ? &std::get<RecurrentState>(*tails) : nullptr);
}

SelectiveLayer declare(const Place& place, const Selective& spec) {
  const auto& [store, name, stack, width, std, out_std] = place;
  SelectiveLayer layer;
  layer.spec = spec;
  layer.in = Linear::declare(store, {{name + ".in", 2 * spec.inner, spec.bias}}, width, std);
  layer.conv =
      ConvLayer::declare(store, name + ".conv", spec.inner, spec.taps, spec.conv_bias, spec.act);
  layer.project = Linear::declare(
      store, {{name + ".project", spec.step_rank + 2 * spec.state, false}}, spec.inner, std);
  layer.step = Linear::declare(store, {{name + ".step", spec.inner, true}}, spec.step_rank, 0);
  store.find(name + ".step.weight")->init = Init::uniform(1 / std::sqrt(spec.step_rank));
  store.find(name + ".step.bias")->init = Init::time_steps(spec.steps);
  layer.a_log =
      &store.declare(name + ".a_log", {spec.inner, spec.state}, Init::log_counts(spec.state));
  layer.a_log->widened = true;
  layer.skip = &store.declare(name + ".skip", {spec.inner}, Init::constant(1));
  layer.out = Linear::declare(store, {{name + ".out", width, spec.bias}}, spec.inner, out_std);
  return layer;
}

Tensor SelectiveLayer::operator()(Ctx& c, Pass& pass, const Tensor& x, LayerState* states) const {
  const Ints& start = pass.stream().start;
  const Pieces halves = split(c, in(c, x), 1, {spec.inner, spec.inner});
  const Tensor channels = conv(c, halves[0], start, states);
  const Pieces chosen = split(c, project(c, channels), 1, {spec.step_rank, spec.state, spec.state});
  const Tensor steps = time_step(c, step(c, chosen[0]), {}, 0, HUGE_VAL);
  const Tensor y =
      selective_scan(c, {channels, steps, a_log->value, chosen[1], chosen[2], skip->value}, start,
                     states ? &std::get<RecurrentState>(states[1]) : nullptr);
  return out(c, glu(c, halves[1], y, Activation::silu));
}

void add_state(const Selective& spec, DType, std::vector<StateSpec>& out) {
  out.push_back(RecurrentSpec{{spec.taps - 1, spec.inner}});
  out.push_back(RecurrentSpec{{1, spec.state, spec.inner}});
}

bool is_causal(const Selective&) { return true; }

}  // namespace stemma
