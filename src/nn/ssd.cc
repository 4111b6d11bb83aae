#include "nn/ssd.h"

#include <cmath>

#include "ops/glu.h"
#include "ops/norm.h"
#include "ops/selective_scan.h"
#include "ops/time_step.h"

namespace stemma {
namespace {

int inner(const Ssd& spec) { return spec.heads * spec.head_size; }
int shared(const Ssd& spec) { return spec.groups * spec.state; }  // the width of B, and of C
int convolved(const Ssd& spec) { return inner(spec) + 2 * shared(spec); }

}  // namespace

SsdLayer declare(const Place& place, const Ssd& spec) {
  const auto& [store, name, stack, width, std, out_std] = place;
  SsdLayer layer;
  layer.spec = spec;
  layer.in = Linear::declare(
      store, {{name + ".in", inner(spec) + convolved(spec) + spec.heads, spec.bias}}, width, std);
  layer.conv = ConvLayer::declare(store, name + ".conv", convolved(spec), spec.taps, spec.conv_bias,
                                  spec.act);
  layer.step_bias = &store.declare(name + ".step.bias", {spec.heads}, Init::time_steps(spec.steps));
  layer.a_log = &store.declare(name + ".a_log", {spec.heads}, Init::log_counts(spec.heads));
  layer.skip = &store.declare(name + ".skip", {spec.heads}, Init::constant(1));
  layer.norm = &store.declare(name + ".norm.weight", {inner(spec)}, Init::constant(1));
  layer.out = Linear::declare(store, {{name + ".out", width, spec.bias}}, inner(spec), out_std);
  return layer;
}

Tensor SsdLayer::operator()(Ctx& c, Pass& pass, const Tensor& x, LayerState* states) const {
  const Ints& start = pass.stream().start;
  const int64_t tokens = x.extent(0), width = inner(spec);
  const Pieces projected = split(c, in(c, x), 1, {width, convolved(spec), spec.heads});
  const Tensor mixed = conv(c, projected[1], start, states);
  const Pieces chosen = split(c, mixed, 1, {width, shared(spec), shared(spec)});
  const Tensor steps = time_step(c, projected[2], step_bias->value, spec.least_step,
                                 spec.most_step.value_or(HUGE_VAL));
  const Tensor y = selective_scan(
      c,
      {chosen[0], steps, a_log->value, chosen[1], chosen[2], skip->value, spec.heads, spec.groups},
      start, states ? &std::get<RecurrentState>(states[1]) : nullptr);
  const Tensor gated = glu(c, projected[0], y, Activation::silu);
  const int64_t group = width / spec.norm_groups;
  const Tensor normed =
      add_rms_norm(c, reshape(c, gated, {tokens, spec.norm_groups, group}), {},
                   reshape(c, norm->value, {spec.norm_groups, group}), spec.norm_eps)
          .out;
  return out(c, reshape(c, normed, {tokens, width}));
}

void add_state(const Ssd& spec, DType, std::vector<StateSpec>& out) {
  out.push_back(RecurrentSpec{{spec.taps - 1, convolved(spec)}});
  out.push_back(RecurrentSpec{{spec.heads, spec.state, spec.head_size}});
}

bool is_causal(const Ssd&) { return true; }

}  // namespace stemma
