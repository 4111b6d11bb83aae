// Model: a spec with its parameters, and the one forward that trains and serves it.
// Thread safety: forward() on a const Model may run on many threads, each with its own Ctx.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/multi_token.h"
#include "model/spec.h"
#include "model/stack.h"
#include "model/state.h"
#include "nn/embedding.h"
#include "nn/heads.h"

namespace stemma {

// The embeddings and each execution's output, the last one after the final norm where there is one,
// as transformers lists them.
struct HiddenStates {
  std::vector<Tensor> encoder, decoder;
};

class Model {
 public:
  // Declares the parameters; they have no memory until bound or made flat.
  explicit Model(ModelSpec spec);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const ModelSpec& spec() const { return spec_; }
  ParamStore& params() { return params_; }
  const ParamStore& params() const { return params_; }
  // Additions to the weights of the blocks, which Batch::adapter chooses from.
  Adapters& adapters() { return adapters_; }
  const Adapters& adapters() const { return adapters_; }

  // How the matrix products store their weights and compute; f32 at first. Everything between them
  // is f32 in any case. int8 and int4 leave the heads in bf16. While nobody uses the model.
  void set_format(Format format);
  Format format() const { return format_; }
  // What attention multiplies in, and its state is kept in: bf16 below f32.
  DType kv_dtype() const { return format_ == Format::f32 ? DType::f32 : DType::bf16; }

  // Last hidden states of every token of the batch's main stream [T,C] (after the final norm, where
  // there is one). With a tape in `c`, differentiable (`batch` must live as long as the tape); with
  // a `state`, continuing the sequences batch.seqs. A model with both stacks reads batch.source
  // with its encoder. Where the stream has targets, the result is their rows alone [K,C], and
  // hidden states are the tokens' and the targets' in turn.
  Tensor forward(Ctx& c, const Batch& batch, StateStore* state = nullptr,
                 HiddenStates* hidden_states = nullptr) const;

  // What the modules for further tokens make of forward()'s result; none where there are no
  // modules.
  std::vector<MultiTokenLayer::Further> further(Ctx& c, const Batch& batch,
                                                const Tensor& hidden) const;

  // The answers of every head, named as the fields of transformers' outputs: "pooler_output",
  // "logits", "start_logits", ...; and "mtp_logits.{k}" [T,V], rows without a token to see zero.
  std::vector<std::pair<std::string, Tensor>> answers(Ctx& c, const Batch& batch,
                                                      const Tensor& hidden) const;

  const std::vector<HeadLayer>& heads() const { return heads_; }
  template <class Head>
  const Head* head() const {
    for (const HeadLayer& h : heads_)
      if (auto* found = std::get_if<Head>(&h)) return found;
    return nullptr;
  }

 private:
  void check_streams(const Batch& batch, bool with_state) const;

  ModelSpec spec_;
  Format format_ = Format::f32;
  ParamStore params_;
  Adapters adapters_;
  EmbeddingLayer embed_;
  std::optional<Stack> encoder_, decoder_;
  std::vector<HeadLayer> heads_;
  std::optional<MultiTokenLayer> multi_token_;
};

}  // namespace stemma
