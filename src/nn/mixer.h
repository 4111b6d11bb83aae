// Mixers: the part of a block in which tokens see each other. Each alternative of the spec's Mixer
// has a layer with
//   Layer declare(const Place&, const Spec&);                     its parameters
//   Tensor Layer::operator()(Ctx&, Pass&, x [T,C], LayerState*);  -> [T,C]
//   void add_state(const Spec&, DType kv, std::vector<StateSpec>&);
//   bool is_causal(const Spec&);
// `states` points at what one execution declared with add_state(), in that order, and is null where
// there is no state. A new mixer is a file with these, a line in Mixer, and one here.
#pragma once

#include <variant>

#include "nn/attention.h"
#include "nn/latent_attention.h"
#include "nn/selective.h"
#include "nn/ssd.h"

namespace stemma {

using MixerLayer = std::variant<AttentionLayer, LatentAttentionLayer, SelectiveLayer, SsdLayer>;

inline MixerLayer declare(const Place& place, const Mixer& spec) {
  return std::visit([&](const auto& s) -> MixerLayer { return declare(place, s); }, spec);
}
inline Tensor apply(Ctx& c, Pass& pass, const MixerLayer& mixer, const Tensor& x,
                    LayerState* states) {
  return std::visit([&](const auto& layer) { return layer(c, pass, x, states); }, mixer);
}
inline void add_state(const Mixer& spec, DType kv, std::vector<StateSpec>& out) {
  std::visit([&](const auto& s) { add_state(s, kv, out); }, spec);
}
// Whether it lets all tokens see a prefix (Stream::prefix).
inline bool sees_prefix(const Mixer& spec) { return std::holds_alternative<Attention>(spec); }
// Whether a token sees none after it.
inline bool is_causal(const Mixer& spec) {
  return std::visit([](const auto& s) { return is_causal(s); }, spec);
}

}  // namespace stemma
