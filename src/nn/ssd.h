// The state-space layer with heads: projection, convolution, scan, gated norm. It remembers of a
// sequence what nn/selective.h does.
// Source: Dao, Gu 2024 (Mamba-2).
#pragma once

#include "nn/selective.h"

namespace stemma {

struct SsdLayer {
  Ssd spec;
  Linear in, out;
  ConvLayer conv;
  Parameter *step_bias = nullptr, *a_log = nullptr, *skip = nullptr;  // [H]
  Parameter* norm = nullptr;                                          // [H*P]

  Tensor operator()(Ctx& c, Pass& pass, const Tensor& x, LayerState* states) const;
};

SsdLayer declare(const Place& place, const Ssd& spec);
void add_state(const Ssd& spec, DType kv, std::vector<StateSpec>& out);
bool is_causal(const Ssd& spec);

}  // namespace stemma
