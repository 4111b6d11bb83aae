// Rematerialisation (activation checkpointing; Chen et al. 2016): a stretch of the forward pass
// leaves nothing on the tape but what it captures, and is run again when its gradients are asked
// for. The second run records on a tape of its own inside the first one, so that every gradient is
// made by the same rules in the same order, and lands in the same place: the result is bitwise that
// of keeping everything. Costs one more forward pass; at its highest, memory holds one stretch.
#pragma once

#include <array>

#include "autograd/tape.h"

namespace stemma {

// segment(Ctx&) -> std::array<Tensor, N>. It is called now and, if `c` records, again during
// backward(): what it captures must still be there, and must give the same bits.
template <size_t N, class Segment>
std::array<Tensor, N> rematerialised(Ctx& c, Segment segment) {
  if (c.tape == nullptr) return segment(c);
  Ctx inner = c;
  std::array<Tensor, N> all, out;
  std::array<size_t, N> place;
  size_t count = 0;
  {
    Tape probe(c.tape->grads(), false);
    inner.tape = &probe;
    all = segment(inner);
    for (size_t i = 0; i < N; ++i)
      if (probe.owns(all[i])) out[count] = all[i], place[count++] = i;
  }
  if (count > 0)
    c.tape->record("rematerialised", std::span<const Tensor>(out.data(), count),
                   [segment = std::move(segment), as_before = c, place, count](
                       Ctx& c, std::span<const Tensor> douts, Grads& grads) {
                     Tape again(grads, true);
                     Ctx recording = as_before;
                     recording.tape = &again;
                     // Whoever watches: it has seen the first run.
                     recording.rec = c.rec;
                     recording.loads = c.loads;
                     const std::array<Tensor, N> all = segment(recording);
                     std::array<Tensor, N> results;
                     for (size_t i = 0; i < count; ++i) results[i] = all[place[i]];
                     again.backward(c, {results.data(), count}, douts);
                   });
  return all;
}

}  // namespace stemma
