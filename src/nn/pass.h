// Pass: what the layers of one stack share in one forward: the tokens, tables computed once, and
// what another stack hands over.
#pragma once

#include <deque>
#include <optional>
#include <utility>

#include "nn/adapter.h"
#include "nn/batch.h"
#include "nn/state.h"
#include "ops/rope.h"

namespace stemma {

// An encoder's output as cross attention reads it.
struct Source {
  Tensor hidden;  // [T,C] of the source's tokens; undefined where no sequence brings any
  PoolVector<int32_t> start;  // [S+1]
};

// What the rows of a stream with an order of its own see.
struct Sight {
  std::optional<Bitmap> tokens, targets;
  Offsets past;             // [S] that it holds for
  Offsets target_position;  // [K] among the keys
  Tensor asks;  // [K,1,1], 0 for a target that sees nothing, and averages all; or undefined
};

class Pass {
 public:
  // `stream` is the batch's main stream or its source.
  Pass(const Batch& batch, const Stream& stream, const Adapters& adapters,
       std::pmr::memory_resource* memory, Source source = {})
      : stream_(stream),
        source_(std::move(source)),
        adapters_(batch, stream, adapters, memory),
        tables_(memory),
        memory_(memory),
        sinusoids_(memory) {}
  const Stream& stream() const { return stream_; }
  const Source& source() const { return source_; }
  const AdapterRows& adapters() const { return adapters_; }
  // Of Batch::memory, one for each execution; empty where there is none.
  PoolVector<LayerState>& memory() { return memory_; }
  // cos and sin for the positions of the stream's rows, made on first use of each kind of rotation.
  const RopeTables& rope(Ctx& c, const Rope& rope);
  // The sinusoids of the distances from low to high (or of their opposites), `width` numbers each.
  Tensor sinusoids(Ctx& c, int low, int high, int64_t width, bool opposite);
  // What the rows see of keys that stand behind past[s] others, all of which they see.
  const Sight& sight(Ctx& c, const Offsets& past);

 private:
  const Stream& stream_;
  Source source_;
  AdapterRows adapters_;
  std::pmr::deque<std::pair<Rope, RopeTables>> tables_;
  PoolVector<LayerState> memory_;
  struct Sinusoids {
    int low, high;
    int64_t width;
    bool opposite;
    Tensor table;
  };
  PoolVector<Sinusoids> sinusoids_;
  std::optional<Sight> sight_;
};

}  // namespace stemma
