// Pass: what the layers of one forward share: the batch, tables computed once, state.
#pragma once

#include <deque>
#include <utility>

#include "nn/adapter.h"
#include "nn/batch.h"
#include "ops/rope.h"

namespace stemma {

class Pass {
 public:
  Pass(const Batch& batch, const Adapters& adapters, std::pmr::memory_resource* memory)
      : batch_(batch), adapters_(batch, adapters, memory), tables_(memory) {}
  const Batch& batch() const { return batch_; }
  const AdapterRows& adapters() const { return adapters_; }
  // cos and sin for the batch's positions, made on first use of each kind of rotation.
  const RopeTables& rope(Ctx& c, const Rope& rope);

 private:
  const Batch& batch_;
  AdapterRows adapters_;
  std::pmr::deque<std::pair<Rope, RopeTables>> tables_;
};

}  // namespace stemma
