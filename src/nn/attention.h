// The attention layers: projections, per-head norms, positions, state, attention, output
// projection; over the layer's own stream, or (cross attention) over an encoder's output.
// Sources: Vaswani et al. 2017; Ainslie et al. 2023 (grouped queries); Su et al. 2021 (rotation);
// Raffel et al. 2020 (relative buckets).
#pragma once

#include <optional>
#include <vector>

#include "nn/layers.h"
#include "nn/pass.h"
#include "nn/relative.h"
#include "nn/state.h"

namespace stemma {

struct AttentionLayer {
  Attention spec;
  Linear qkv, out;
  std::optional<NormLayer> q_norm, k_norm;
  Parameter* sinks = nullptr;  // [H], where the spec has them
  // What its kind of positions has, if any: [buckets,H], or a layer of its own.
  Parameter* buckets = nullptr;
  std::optional<TransformerXlLayer> transformer_xl;
  std::optional<DisentangledLayer> disentangled;

  // x [T,C], or [T+K,C] with the rows of the stream's targets, -> the same. With `state` the keys
  // and values of earlier calls, or the memory, are attended to as well.
  Tensor operator()(Ctx& c, Pass& pass, const Tensor& x, LayerState* state) const;
};

// Queries from the layer's own stream, keys and values from the pass's source. Every query sees
// every key; there are no positions.
struct CrossAttentionLayer {
  Attention spec;
  Linear q, kv, out;

  // x [T,C] -> [T,C]. With `state`, a source is read once, with the first tokens of its sequence.
  Tensor operator()(Ctx& c, Pass& pass, const Tensor& x, LayerState* state) const;
};

AttentionLayer declare(const Place& place, const Attention& spec);
CrossAttentionLayer declare_cross(const Place& place, const Attention& spec);
// Appends what one execution remembers, keys and values being kept in `kv`.
void add_state(const Attention& spec, DType kv, std::vector<StateSpec>& out);
void add_cross_state(const Attention& spec, DType kv, std::vector<StateSpec>& out);
bool is_causal(const Attention& spec);

}  // namespace stemma
