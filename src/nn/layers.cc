#include "nn/layers.h"

#include "ops/norm.h"
#include "ops/primitives.h"

namespace stemma {

Linear Linear::declare(ParamStore& store, const std::string& name, int64_t n, int64_t k, bool bias,
                       double std) {
  Linear layer;
  layer.weight = &store.declare(name + ".weight", {n, k}, Init::normal(std));
  if (bias) layer.bias = &store.declare(name + ".bias", {n}, Init::constant(0));
  return layer;
}

Tensor Linear::operator()(Ctx& c, const Tensor& x) const {
  return linear(c, x, weight->value, bias ? bias->value : Tensor(), &weight->packs);
}

Tensor Residual::value(Ctx& c) const { return delta ? add(c, x, delta) : x; }

NormLayer NormLayer::declare(ParamStore& store, const std::string& name, const Norm& spec,
                             int64_t width) {
  NormLayer layer;
  layer.spec = spec;
  layer.weight = &store.declare(name + ".weight", {width}, Init::constant(1));
  if (spec.kind == NormKind::layer)
    layer.bias = &store.declare(name + ".bias", {width}, Init::constant(0));
  return layer;
}

Tensor NormLayer::operator()(Ctx& c, const Tensor& x) const {
  Residual stream{x, {}};
  return absorb(c, stream);
}

Tensor NormLayer::absorb(Ctx& c, Residual& stream) const {
  const Normed n =
      spec.kind == NormKind::rms
          ? add_rms_norm(c, stream.x, stream.delta, weight->value, spec.eps)
          : add_layer_norm(c, stream.x, stream.delta, weight->value, bias->value, spec.eps);
  stream = {n.sum, {}};
  return n.out;
}

}  // namespace stemma
