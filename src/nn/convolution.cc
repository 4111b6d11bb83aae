#include "nn/convolution.h"

#include "ops/activation.h"
#include "ops/conv1d.h"
#include "tensor/mapped.h"

namespace stemma {

ConvolutionLayer declare(const Place& place, const Convolution& spec) {
  check(spec.taps % 2 == 1 && spec.groups > 0 && place.width % spec.groups == 0, "[convolution] ",
        spec.taps, " taps in ", spec.groups, " groups of width ", place.width,
        "; the taps must be odd in number, and the groups divide the width");
  ConvolutionLayer layer;
  layer.spec = spec;
  layer.weight = &place.store.declare(place.name + ".weight",
                                      {place.width, place.width / spec.groups, spec.taps},
                                      Init::normal(place.std));
  layer.bias = &place.store.declare(place.name + ".bias", {place.width}, Init::constant(0));
  layer.norm = NormLayer::declare(place.store, place.name + ".norm", spec.norm, place.width);
  return layer;
}

Tensor ConvolutionLayer::operator()(Ctx& c, const Pass& pass, const Tensor& in,
                                    const Tensor& out) const {
  check(pass.stream().targets.empty(), "[convolution] targets have no neighbours");
  const Tensor y =
      conv1d(c, in, to_f32(c, weight->value), bias->value, pass.stream().start, spec.groups);
  Residual sum{out, activation(c, y, spec.act)};
  return norm.absorb(c, sum);
}

}  // namespace stemma
