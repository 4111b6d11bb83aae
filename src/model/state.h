// StateStore: what generation remembers of each sequence between forwards. Keys and values lie in
// pages of 64 tokens with reference counts, so that forks and snapshots share them; a page is
// copied when a sequence adds to one that others hold too. Layers with a window forget the pages
// that no query can see any more. Recurrent states are tensors, replaced whole by every forward.
// Pages and recurrent states together stay within a budget of bytes.
// Errors: unknown or taken sequence ids; foreign bytes in load().
// Sources: Kwon et al. 2023 (paged attention). Thread safety: one engine thread.
#pragma once

#include <memory>
#include <span>
#include <unordered_map>

#include "base/file.h"
#include "model/spec.h"
#include "nn/state.h"

namespace stemma {

// What each execution of the stack that remembers declares, in order: its mixer, then its cross
// attention; keys and values are kept in `kv`.
std::vector<StateSpec> state_specs(const ModelSpec& spec, DType kv = DType::f32);

class StateStore {
  struct Memory;

 public:
  static constexpr int64_t kUnlimited = INT64_MAX;
  explicit StateStore(std::vector<StateSpec> specs, int64_t budget_bytes = kUnlimited);

  // All that a sequence remembers at one moment; holds its pages.
  class Snapshot {
   public:
    int length() const;

   private:
    friend StateStore;
    const StateStore* store_ = nullptr;
    std::shared_ptr<const Memory> memory_;
  };

  // Makes room for `tokens` in all, beginning the sequence if it is new, and for the source that it
  // is to read, where it has read none. False, and nothing has
  // changed, where the budget does not allow it. A forward makes the room it needs itself, and
  // fails where there is none. With windows, reserve as you go: what is reserved is not forgotten.
  bool reserve(SeqId seq, int tokens, int source_tokens = 0);
  void release(SeqId seq);
  bool has(SeqId seq) const { return sequences_.count(seq) > 0; }
  int length(SeqId seq) const;  // tokens remembered; 0 for an unknown sequence
  // `to` becomes a sequence that remembers what `from` does; costs no pages until one goes on.
  void fork(SeqId from, SeqId to);

  Snapshot snapshot(SeqId seq) const;
  void rollback(SeqId seq, const Snapshot& snapshot);
  // Forgets what came after the first `length` tokens, and returns how many it remembers then:
  // fewer than `length` where a recurrent state, or keys that left their window, are only to be had
  // from an earlier snapshot. The caller runs the tokens between again.
  int rollback(SeqId seq, int length);

  // A sequence as bytes, to be loaded by a store of the same specs. load() makes a new sequence;
  // false where the budget does not allow it.
  void save(SeqId seq, const ByteSink& out) const;
  bool load(Ctx& c, SeqId seq, std::span<const uint8_t> saved);

  int64_t bytes() const;
  // That a sequence of its own would take.
  int64_t bytes_for(int tokens, int source_tokens = 0) const;
  int64_t budget() const { return budget_; }

  int source_length(SeqId seq) const;  // tokens of the source that it has read

  // For Model::forward: what each execution sees of the batch's sequences, and the step that makes
  // the batch's rows and the recurrent states that came out part of them. The lists of pages and
  // states lie in `memory`; what they name does not.
  PoolVector<LayerState> begin(const Batch& batch,
                               std::pmr::memory_resource* memory = std::pmr::new_delete_resource());
  void advance(const Batch& batch, std::span<const LayerState> layers);

 private:
  struct PageTable {
    int first = 0;  // pages before it have been forgotten
    std::vector<Buffer> pages;
    int end() const { return first + static_cast<int>(pages.size()); }
    Buffer& operator[](int page) { return pages[static_cast<size_t>(page - first)]; }
    const Buffer& operator[](int page) const { return pages[static_cast<size_t>(page - first)]; }
  };
  struct Memory {
    int length = 0;
    int source_length = 0;                                // of what the encoder has read
    std::vector<std::variant<PageTable, Tensor>> layers;  // as the specs; KvFrom: empty table
  };
  struct Sequence {
    Memory now;
    std::vector<Snapshot> kept;  // ascending in length
  };
  Sequence& at(SeqId seq);
  const Sequence& at(SeqId seq) const;
  Memory fresh() const;
  int first_page(const KvSpec& kv, int length) const;
  bool can_truncate(const Memory& memory, int length) const;
  void truncate(Memory& memory, int length) const;
  void keep_snapshot(Sequence& sequence, int before);
  int64_t recurrent_bytes() const;
  std::string signature() const;

  std::vector<StateSpec> specs_;
  int64_t budget_;
  int64_t recurrent_size_ = 0;  // bytes of one sequence's recurrent states
  int snapshot_every_ = 0;      // 0: nothing here needs snapshots
  Pool pages_;
  std::unordered_map<SeqId, Sequence> sequences_;
};

}  // namespace stemma
