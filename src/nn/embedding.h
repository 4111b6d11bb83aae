// The embedding layer: token rows, plus learned positions and token types where the spec has them,
// a norm and a projection where it has them.
#pragma once

#include <optional>

#include "nn/layers.h"
#include "nn/pass.h"

namespace stemma {

struct EmbeddingLayer {
  EmbedSpec spec;
  Parameter* tokens = nullptr;
  Parameter* positions = nullptr;
  Parameter *base_tokens = nullptr, *base_positions = nullptr;  // frozen
  Parameter* types = nullptr;
  Parameter* query = nullptr;  // [1,1,C], as it is published
  std::optional<NormLayer> norm;
  std::optional<Linear> projection;

  static EmbeddingLayer declare(ParamStore& store, const std::string& name, const EmbedSpec& spec,
                                double std);
  Tensor operator()(Ctx& c, Pass& pass) const;  // [T,C], followed by the rows of targets [K,C]
};

}  // namespace stemma
