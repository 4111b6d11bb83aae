// The layers every part is made of: a matrix with an optional bias, a norm, and the residual stream
// that carries a pending addition so that the next norm fuses it.
#pragma once

#include <string>

#include "nn/parameter.h"
#include "nn/spec.h"
#include "ops/linear.h"
#include "ops/primitives.h"

namespace stemma {

// Where a layer declares its parameters.
struct Place {
  ParamStore& store;
  std::string name;         // of the layer: "decoder.3.attn"
  std::string stack;        // what parameters begin with that all blocks share: "decoder."
  int64_t width;            // C
  double std, out_std = 0;  // of initial values, and of those of the last projection of a branch
};

// One projection, or several of the same input side by side: x [T,K] -> [T, N of all], with the
// parameters NAME.weight [n,K] and NAME.bias [n] for each.
struct Linear {
  struct Part {
    std::string name;
    int64_t rows;
    bool bias;
    double smaller = 1;  // than the others it starts, by this factor
  };
  Weight* weight = nullptr;

  static Linear declare(ParamStore& store, const std::vector<Part>& parts, int64_t width,
                        double std);
  Tensor operator()(Ctx& c, const Tensor& x, const LinearThen& then = {}) const;
  // Each part's columns, as views of one product.
  Pieces parts(Ctx& c, const Tensor& x) const;
};

// The residual stream: its value is x + delta (delta undefined: x).
struct Residual {
  Tensor x, delta;
  Tensor value(Ctx& c) const;
};

struct NormLayer {
  Norm spec;
  Parameter* weight = nullptr;
  Parameter* bias = nullptr;

  static NormLayer declare(ParamStore& store, const std::string& name, const Norm& spec,
                           int64_t width);
  // norm(x), x [.., width].
  Tensor operator()(Ctx& c, const Tensor& x) const;
  // norm(x + delta); the stream becomes {x + delta}.
  Tensor absorb(Ctx& c, Residual& stream) const;
};

}  // namespace stemma
