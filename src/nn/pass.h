// Pass: what the layers of one stack share in one forward: the tokens, tables computed once, and
// what another stack hands over.
#pragma once

#include <deque>
#include <utility>

#include "nn/adapter.h"
#include "nn/batch.h"
#include "ops/rope.h"

namespace stemma {

// An encoder's output as cross attention reads it.
struct Source {
  Tensor hidden;  // [T,C] of the source's tokens; undefined where no sequence brings any
  PoolVector<int32_t> start;  // [S+1]
};

class Pass {
 public:
  // `stream` is the batch's main stream or its source.
  Pass(const Batch& batch, const Stream& stream, const Adapters& adapters,
       std::pmr::memory_resource* memory, Source source = {})
      : stream_(stream),
        source_(std::move(source)),
        adapters_(batch, stream, adapters, memory),
        tables_(memory) {}
  const Stream& stream() const { return stream_; }
  const Source& source() const { return source_; }
  const AdapterRows& adapters() const { return adapters_; }
  // cos and sin for the stream's positions, made on first use of each kind of rotation.
  const RopeTables& rope(Ctx& c, const Rope& rope);

 private:
  const Stream& stream_;
  Source source_;
  AdapterRows adapters_;
  std::pmr::deque<std::pair<Rope, RopeTables>> tables_;
};

}  // namespace stemma
