// Pass: what the layers of one forward share: the batch, tables computed once, state.
#pragma once

#include <deque>
#include <utility>

#include "nn/batch.h"
#include "ops/rope.h"

namespace stemma {

class Pass {
 public:
  explicit Pass(const Batch& batch) : batch_(batch) {}
  const Batch& batch() const { return batch_; }
  // cos and sin for the batch's positions, made on first use of each kind of rotation.
  const RopeTables& rope(Ctx& c, const Rope& rope);

 private:
  const Batch& batch_;
  std::deque<std::pair<Rope, RopeTables>> tables_;
};

}  // namespace stemma
