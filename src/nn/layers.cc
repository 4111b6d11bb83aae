#include "nn/layers.h"

#include "nn/adapter.h"
#include "ops/norm.h"
#include "ops/primitives.h"

namespace stemma {

Linear Linear::declare(ParamStore& store, const std::vector<Part>& parts, int64_t width,
                       double std) {
  std::vector<Weight::Slice> slices;
  for (const Part& part : parts) {
    const Parameter& weight =
        store.declare(part.name + ".weight", {part.rows, width}, Init::normal(std * part.smaller));
    const Parameter* bias =
        part.bias ? &store.declare(part.name + ".bias", {part.rows}, Init::constant(0)) : nullptr;
    slices.push_back(
        {part.name, part.rows, &weight.value, bias ? &bias->value : nullptr, &weight.scales});
  }
  return {&store.declare_weight(width, std::move(slices))};
}

Tensor Linear::operator()(Ctx& c, const Tensor& x, const LinearThen& then) const {
  if (!c.adapters) return linear(c, x, *weight, then);
  return follow(c, c.adapters->add_to(c, *weight, x, linear(c, x, *weight)), then);
}

Pieces Linear::parts(Ctx& c, const Tensor& x) const {
  return split(c, (*this)(c, x), 1, weight->slice_rows());
}

Tensor Residual::value(Ctx& c) const { return delta ? add(c, x, delta) : x; }

NormLayer NormLayer::declare(ParamStore& store, const std::string& name, const Norm& spec,
                             int64_t width) {
  NormLayer layer;
  layer.spec = spec;
  layer.weight = &store.declare(name + ".weight", {width}, Init::constant(spec.offset ? 0 : 1));
  if (spec.kind == NormKind::layer && spec.bias)
    layer.bias = &store.declare(name + ".bias", {width}, Init::constant(0));
  return layer;
}

Tensor NormLayer::operator()(Ctx& c, const Tensor& x) const {
  Residual stream{x, {}};
  return absorb(c, stream);
}

Tensor NormLayer::absorb(Ctx& c, Residual& stream) const {
  const Tensor scales = spec.offset ? add(c, weight->value, 1) : weight->value;
  const Normed n = spec.kind == NormKind::rms
                       ? add_rms_norm(c, stream.x, stream.delta, scales, spec.eps)
                       : add_layer_norm(c, stream.x, stream.delta, scales,
                                        bias ? bias->value : Tensor(), spec.eps);
  stream = {n.sum, {}};
  return n.out;
}

}  // namespace stemma
