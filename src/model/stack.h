// Stack: the blocks of an encoder or a decoder, run in the order of the spec's schedule.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/spec.h"
#include "nn/convolution.h"
#include "nn/ffn.h"
#include "nn/mixer.h"

namespace stemma {

class Stack {
 public:
  // `name` is "encoder" or "decoder", and what its parameters' names begin with.
  static Stack declare(ParamStore& store, const std::string& name, const StackSpec& spec,
                       int64_t width, double std);

  // The hidden states [T,C] that come out of the last block or, where there is one, the final norm.
  // `states` are the executions' own (see state_specs()), or null. `hidden_states` receives what
  // goes into each execution, and the result. The pass outlives the tape.
  Tensor operator()(Ctx& c, const std::shared_ptr<Pass>& pass, const Tensor& x, LayerState* states,
                    std::vector<Tensor>* hidden_states) const;

 private:
  struct Norms {
    std::optional<NormLayer> in, out, after_add;
  };
  static Norms declare_norms(const Place& place, const Sublayer& spec);

  struct Block {
    MixerLayer mixer;
    Norms mix;
    std::optional<CrossAttentionLayer> cross;
    Norms x;
    FfnLayer ffn;
    Norms ff;
    std::optional<ConvolutionLayer> beside;
    size_t mixer_states = 0, states = 0;  // that one execution has
    Residual operator()(Ctx& c, Pass& pass, Residual stream, LayerState* states) const;
  };

  std::string name_;
  std::vector<Block> blocks_;
  std::vector<size_t> schedule_;
  Listed listed_ = Listed::inputs;
  std::optional<NormLayer> final_norm_;
};

}  // namespace stemma
