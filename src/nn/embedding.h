// The embedding layer: token rows, plus learned positions and token types where the spec has them,
// then a norm where it has one.
#pragma once

#include <optional>

#include "nn/layers.h"
#include "nn/pass.h"

namespace stemma {

struct EmbeddingLayer {
  EmbedSpec spec;
  Parameter* tokens = nullptr;
  Parameter* positions = nullptr;
  Parameter* types = nullptr;
  std::optional<NormLayer> norm;

  static EmbeddingLayer declare(ParamStore& store, const std::string& name, const EmbedSpec& spec,
                                double std);
  Tensor operator()(Ctx& c, Pass& pass) const;  // [T,C]
};

}  // namespace stemma
