#include "nn/feed_forward.h"

#include "ops/activation.h"
#include "ops/glu.h"

namespace stemma {

FeedForwardLayer declare(const Place& place, const Mlp& spec) {
  const auto& [store, name, stack, width, std, out_std] = place;
  return {spec.act, false,
          Linear::declare(store, {{name + ".up", spec.inner, spec.bias}}, width, std),
          Linear::declare(store, {{name + ".down", width, spec.bias}}, spec.inner, out_std)};
}

FeedForwardLayer declare(const Place& place, const Glu& spec) {
  const auto& [store, name, stack, width, std, out_std] = place;
  return {
      spec.act, true,
      Linear::declare(
          store, {{name + ".gate", spec.inner, spec.bias}, {name + ".up", spec.inner, spec.bias}},
          width, std),
      Linear::declare(store, {{name + ".down", width, spec.bias}}, spec.inner, out_std)};
}

Tensor FeedForwardLayer::operator()(Ctx& c, const Tensor& x) const {
  return down(c, inner(c, x, {.activation = act, .gated = gated}));
}

}  // namespace stemma
