// What a layer remembers of each sequence between forwards: what it declares, and what it sees
// during one forward. The memory belongs to the StateStore (model/state.h). A layer execution, not
// a parameter layer, has a state: a block that runs twelve times has twelve.
//
// Under a tape, state is an ordinary tensor that goes in and comes out. What goes in is a constant
// unless the tape knows it: a recurrent state made under the same tape, or one that was watched,
// carries its gradient on (backpropagation through time is truncated where a new tape begins). Keys
// and values of earlier forwards are constants.
#pragma once

#include <variant>
#include <vector>

#include "nn/batch.h"
#include "ops/attention/attention.h"
#include "ops/carried.h"

namespace stemma {

// Keys and values, one row a token. With a window, rows that no later query sees are forgotten.
struct KvSpec {
  KvLayout layout;
  int window = 0;  // a key may lie at most window - 1 positions back; 0: unlimited
};
// Keys and values of an encoder's output, one row a token of the source: written whole with the
// first tokens of a sequence, read by all.
struct SourceKvSpec {
  KvLayout layout;
};
// Keys and values that another execution declared, read and not added to.
struct KvFrom {
  int state = 0;  // its place in the list of all that is declared
};
// A tensor of fixed size that every token changes. It cannot be truncated, so the store keeps a
// snapshot about every `snapshot_every` tokens.
struct RecurrentSpec {
  Shape shape;
  DType dtype = DType::f32;
  int snapshot_every = 256;
};
using StateSpec = std::variant<KvSpec, SourceKvSpec, KvFrom, RecurrentSpec>;

// The pages of a batch's sequences, with room for the batch's own rows.
struct KvState {
  PagedKv kv;
  PoolVector<int32_t> past;                 // [S] tokens before this batch's
  bool shared = false;                      // KvFrom: the other execution adds this batch's rows
  PoolVector<PoolVector<std::byte*>> open;  // [S] the pages from the one of row past[s] on
};

// One tensor a sequence; the layer puts into `out` what the next forward gets in.
using RecurrentState = Carried;

// The memory of one execution (Batch::memory): it is read, and nothing is kept.
struct MemoryState {
  Tensor hidden;      // [M,C]
  const Ints* start;  // [S+1]
};

using LayerState = std::variant<KvState, RecurrentState, MemoryState>;

// attention() over everything that the sequences remember, this batch's k [T,Hk,D] and v [T,Hk,Dv]
// included, which are added to the pages first (undefined where `state` is shared, or where no
// sequence brings a row). `plan` has the offsets of this batch's queries and keys. Bitwise what
// attention() gives over the whole sequences without state.
Tensor attention(Ctx& c, const Tensor& q, const Tensor& k, const Tensor& v, const KvState& state,
                 AttentionPlan plan);

}  // namespace stemma
