// attention: out = softmax(scale q k^T + mask) v, over ragged sequences, with grouped queries.
// Shapes: q [Tq,H,D], k [Tk,Hk,D], v [Tk,Hk,Dv] -> [Tq,H,Dv]; Hk divides H, query head h reads head
// h / (H/Hk); D and Dv may differ and have any size. Sequence s owns the query rows [q_start[s],
// q_start[s+1]) and the key rows [k_start[s], k_start[s+1]); either may be empty. Queries stand at
// the END of their keys: query i of nq sits at position nk - nq + i. A query that sees no key gives
// 0. A row of `out` depends on its own query and keys alone, bitwise: not on batch-mates, on how
// many queries come with it (decoding gives what prefill gives), on threads, or on the CPU level.
// Errors: shapes or offsets that do not fit.
// Sources: Vaswani et al. 2017; Milakov, Gimelshein 2018 (online softmax); Dao 2023
// (FlashAttention-2); Ainslie et al. 2023 (grouped queries).
#pragma once

#include <vector>

#include "autograd/tape.h"
#include "ops/attention/pages.h"

namespace stemma {

struct AttentionPlan {
  Ints q_start, k_start;  // [S+1], ascending from 0 to the rows of q and of k
  bool causal = false;    // a query sees no key after its position p
  int window = 0;         // it sees no key at or before p - window; 0: no such limit
  float scale = 0;        // 0 stands for 1 / sqrt(D)
};

Tensor attention(Ctx& c, const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionPlan& plan);

// For inference with state: sequence s reads the first k_start[s+1] - k_start[s] rows of its own
// keys[s] [capacity,Hk,D] and values[s] [capacity,Hk,Dv]. No gradient.
Tensor attention(Ctx& c, const Tensor& q, const std::vector<Tensor>& keys,
                 const std::vector<Tensor>& values, const AttentionPlan& plan);

// The same from pages: sequence s holds k_start[s+1] - k_start[s] positions, of which its first
// pages may be missing where a window hides them. q [Tq,H,D]. No gradient.
Tensor attention(Ctx& c, const Tensor& q, const PagedKv& kv, const AttentionPlan& plan);

}  // namespace stemma
