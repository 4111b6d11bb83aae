// MultiToken: the modules that predict further tokens. Module k = 1, 2, ... at position t of a
// sequence sees the hidden states h[t] of the module before (of the model, for k = 1) and token
// t+k:
//   z = in_proj [norm_e(E[token]) ; norm_h(h)];  h' = stack(z)
// and the model's head reads token t+k+1 from h'. A sequence of n tokens gives module k n-k rows.
// Source: DeepSeek-AI 2024 (DeepSeek-V3), section 2.2; its files' layers past the last.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "model/spec.h"
#include "model/stack.h"
#include "nn/embedding.h"

namespace stemma {

// What the parameters' names begin with.
inline constexpr std::string_view kMultiToken = "heads.multi_token.";

class MultiTokenLayer {
 public:
  static MultiTokenLayer declare(ParamStore& store, const MultiToken& spec, int64_t width,
                                 double std);

  // The rows of one module, and which rows of the batch they belong to.
  struct Further {
    Tensor hidden;  // [R,C]
    Ints rows;      // [R]
  };
  // One for each module, fewer where no sequence is long enough. `hidden` [T,C] is the model's.
  std::vector<Further> operator()(Ctx& c, const Batch& batch, const Tensor& hidden,
                                  const EmbeddingLayer& embed) const;
  const MultiToken& spec() const { return spec_; }

 private:
  struct Module {
    NormLayer norm_e, norm_h;
    Linear in;
    Stack stack;
  };
  MultiToken spec_;
  std::vector<Module> modules_;
};

}  // namespace stemma
