// Batch: sequences back to back without padding, and what one forward pass carries along.
// Letters: T tokens, S sequences.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace stemma {

using SeqId = int32_t;

// One flat run of tokens plus the offsets of its sequences.
struct Stream {
  Ints ids;        // [T]
  Ints positions;  // [T], from the start of each sequence (after its cached part)
  Ints types;      // [T], or empty: all 0
  Ints start;      // [S+1]

  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
  int sequences() const { return static_cast<int>(start.size()) - 1; }
  // Appends a sequence whose first token has position `first`.
  void append(const Ints& sequence, const Ints& sequence_types = {}, int first = 0);
};

struct Batch {
  Stream main;
  std::vector<SeqId> seqs;  // [S] with a StateStore: whose state each sequence continues
};

// Keys and values one attention execution reads and appends to. The memory belongs to the
// StateStore.
class KvState {
 public:
  virtual ~KvState() = default;
  // Appends the batch's rows, k [T,Hk,D] and v [T,Hk,Dv], each to its sequence, and gives per
  // sequence all rows so far: [>= length, Hk, D].
  virtual void append(Ctx& c, const Batch& batch, const Tensor& k, const Tensor& v,
                      std::vector<Tensor>& keys, std::vector<Tensor>& values) = 0;
  // Rows each sequence of the batch holds, the batch's own included.
  virtual Ints lengths(const Batch& batch) const = 0;
};

}  // namespace stemma
