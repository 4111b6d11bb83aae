// The selective state-space layer: projection, convolution, scan, gate. What it remembers of a
// sequence does not grow: the last inputs of the convolution, and the scan's state.
// Source: Gu, Dao 2023 (Mamba).
#pragma once

#include "nn/layers.h"
#include "nn/pass.h"
#include "nn/state.h"

namespace stemma {

// The convolution over the tokens of a layer's channels.
struct ConvLayer {
  int channels = 0, taps = 0;
  Activation act = Activation::silu;
  Parameter* weight = nullptr;  // [C,1,K]
  Parameter* bias = nullptr;    // [C], or null

  static ConvLayer declare(ParamStore& store, const std::string& name, int channels, int taps,
                           bool bias, Activation act);
  Tensor operator()(Ctx& c, const Tensor& x, const Ints& start, LayerState* tails) const;
};

struct SelectiveLayer {
  Selective spec;
  Linear in, project, step, out;
  ConvLayer conv;
  Parameter *a_log = nullptr, *skip = nullptr;  // [inner,N], [inner]

  // x [T,C] -> [T,C]; `states` are the convolution's and the scan's, or null.
  Tensor operator()(Ctx& c, Pass& pass, const Tensor& x, LayerState* states) const;
};

SelectiveLayer declare(const Place& place, const Selective& spec);
void add_state(const Selective& spec, DType kv, std::vector<StateSpec>& out);
bool is_causal(const Selective& spec);

}  // namespace stemma
