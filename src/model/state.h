// StateStore: what generation remembers of each sequence between forwards: keys and values of every
// attention execution, in f32, contiguous per sequence and doubled when full.
// Thread safety: one engine thread.
#pragma once

#include <deque>
#include <unordered_map>
#include <vector>

#include "model/spec.h"
#include "nn/batch.h"

namespace stemma {

class StateStore {
 public:
  explicit StateStore(const ModelSpec& spec);
  ~StateStore();

  // Begins a sequence (or keeps it) with room for `tokens` in all.
  void reserve(Ctx& c, SeqId seq, int tokens);
  void release(SeqId seq);
  // `to` becomes a sequence with a copy of what `from` remembers.
  void fork(Ctx& c, SeqId from, SeqId to);
  int length(SeqId seq) const;  // tokens remembered; 0 for an unknown sequence
  // Forgets what came after the first `length` tokens.
  void rollback(SeqId seq, int length);
  int64_t bytes() const;

  // For Model::forward: the state of one layer execution, and the step that makes a batch's rows
  // part of every sequence.
  KvState* layer(size_t execution);
  void advance(const Batch& batch);

 private:
  class LayerKv;
  std::deque<LayerKv> layers_;
  std::unordered_map<SeqId, int> lengths_;
};

}  // namespace stemma
