#include "nn/announced.h"

namespace stemma {

void refuse_announced(const Place& place, std::string_view mixer) {
  fail(Code::kUnsupported, "[model] ", place.name, ": the mixer ", mixer,
       " can be described and not yet computed");
}

// The last token's input, and the numerator, denominator and greatest exponent of the average.
void add_state(const Wkv& spec, DType, std::vector<StateSpec>& out) {
  out.push_back(RecurrentSpec{{spec.width}});
  out.push_back(RecurrentSpec{{3, spec.inner}});
}

void add_state(const ChannelMix& spec, DType, std::vector<StateSpec>& out) {
  out.push_back(RecurrentSpec{{spec.width}});
}

// Complex numbers.
void add_state(const S4& spec, DType, std::vector<StateSpec>& out) {
  out.push_back(RecurrentSpec{{spec.channels, spec.state, 2}});
}

// The weights of the inner model of each head, and their gradients within a chunk.
void add_state(const Ttt& spec, DType, std::vector<StateSpec>& out) {
  const int64_t inner = spec.mlp ? 8 * spec.head_size + 5 : spec.head_size + 1;
  out.push_back(RecurrentSpec{{2, spec.heads, inner, spec.head_size}});
}

// A cell and an output in each direction.
void add_state(const Lstm& spec, DType, std::vector<StateSpec>& out) {
  out.push_back(RecurrentSpec{{spec.bidirectional ? 2 : 1, spec.cells + spec.projection}});
}

}  // namespace stemma
