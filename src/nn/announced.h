// Mixers whose place among the specs is settled and whose layers are not written: a model of them
// can be described, its state and its arithmetic counted; to make its layers is refused.
#pragma once

#include <string_view>

#include "nn/attention.h"

namespace stemma {

// Errors: Code::kUnsupported, always.
[[noreturn]] void refuse_announced(const Place& place, std::string_view mixer);

// A layer of theirs cannot exist; the type is there so that they stand beside the others.
struct AnnouncedLayer {
  Tensor operator()(Ctx&, Pass&, const Tensor& x, LayerState*) const { return x; }
};

inline AnnouncedLayer declare(const Place& place, const Wkv&) { refuse_announced(place, "wkv"); }
inline AnnouncedLayer declare(const Place& place, const ChannelMix&) {
  refuse_announced(place, "channel_mix");
}
inline AnnouncedLayer declare(const Place& place, const S4&) { refuse_announced(place, "s4"); }
inline AnnouncedLayer declare(const Place& place, const Ttt&) { refuse_announced(place, "ttt"); }
inline AnnouncedLayer declare(const Place& place, const Lstm&) { refuse_announced(place, "lstm"); }

void add_state(const Wkv& spec, DType kv, std::vector<StateSpec>& out);
void add_state(const ChannelMix& spec, DType kv, std::vector<StateSpec>& out);
void add_state(const S4& spec, DType kv, std::vector<StateSpec>& out);
void add_state(const Ttt& spec, DType kv, std::vector<StateSpec>& out);
void add_state(const Lstm& spec, DType kv, std::vector<StateSpec>& out);

inline bool is_causal(const Wkv&) { return true; }
inline bool is_causal(const ChannelMix&) { return true; }
inline bool is_causal(const S4& spec) { return !spec.bidirectional; }
inline bool is_causal(const Ttt&) { return true; }
inline bool is_causal(const Lstm& spec) { return !spec.bidirectional; }

}  // namespace stemma
