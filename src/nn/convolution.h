// The convolution beside a block.
#pragma once

#include "nn/layers.h"
#include "nn/pass.h"

namespace stemma {

struct ConvolutionLayer {
  Convolution spec;
  Parameter *weight = nullptr, *bias = nullptr;  // [C, C / groups, taps], [C]
  NormLayer norm;

  // What goes into the block and what comes out of it, [T,C] -> [T,C].
  Tensor operator()(Ctx& c, const Pass& pass, const Tensor& in, const Tensor& out) const;
};

ConvolutionLayer declare(const Place& place, const Convolution& spec);

}  // namespace stemma
