// attention: out = softmax(cap(scale q k^T + bias) + mask) v, over ragged sequences, with grouped
// queries; a sink is one more score in each head's sum, without a value.
// Shapes: q [Tq,H,D], k [Tk,Hk,D], v [Tk,Hk,Dv] -> [Tq,H,Dv]; Hk divides H, query head h reads head
// h / (H/Hk); D and Dv may differ and have any size. Sequence s owns the query rows [q_start[s],
// q_start[s+1]) and the key rows [k_start[s], k_start[s+1]); either may be empty. Queries stand at
// the END of their keys, query i of nq at position nk - nq + i, unless the plan says where: a
// stream of queries of its own (XLNet) stands anywhere among them. A query that sees no key gives
// 0. A row of `out` depends on its own query and keys alone, bitwise: not on batch-mates, on how
// many queries come with it (decoding gives what prefill gives), on threads, or (in f32) on the CPU
// level. Gradients reach q, k, v, every bias and the sink, also through log-sum-exp.
// q, k and v are f32 (or f64, for the definition). With Numerics::dtype bf16, or from bf16 pages,
// all products narrow their operands to bf16 and sum in f32, in both directions; softmax is in f32.
// Rows of q, k and v may lie apart, as slices of one fused projection do: nothing is copied.
// Errors: shapes, offsets, masks or biases that do not fit.
// Sources: Vaswani et al. 2017; Milakov, Gimelshein 2018 (online softmax); Dao 2023
// (FlashAttention-2); Ainslie et al. 2023 (grouped queries).
#pragma once

#include "autograd/tape.h"
#include "ops/attention/bias.h"
#include "ops/attention/mask.h"
#include "ops/attention/pages.h"

namespace stemma {

using Offsets = PoolVector<int32_t>;

// Under a tape the plan is copied into the record: lists in the pool take nothing from the system.
struct AttentionPlan {
  Offsets q_start, k_start;        // [S+1], ascending from 0 to the rows of q and of k
  Offsets q_position = {};         // [Tq], in [0, nk); empty: at the end
  Mask mask = {};                  // empty: every query sees every key of its sequence
  float scale = 0;                 // 0 stands for 1 / sqrt(D)
  float softcap = 0;               // scores become softcap tanh(score / softcap); 0: they stay
  PoolVector<BiasTerm> bias = {};  // three at most
  Tensor sink = {};                // [H], or undefined
};

Tensor attention(Ctx& c, const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionPlan& plan);

// With the natural log of each query's sum of exponentials, [Tq,H]; minus infinity where there is
// nothing to sum. Attention over parts of the keys is put together from it.
struct Attended {
  Tensor out, lse;
};
Attended attention_with_lse(Ctx& c, const Tensor& q, const Tensor& k, const Tensor& v,
                            const AttentionPlan& plan);

// For inference with state, from pages: sequence s holds k_start[s+1] - k_start[s] positions, of
// which its first pages may be missing where a window hides them. q [Tq,H,D]. No gradient.
Tensor attention(Ctx& c, const Tensor& q, const PagedKv& kv, const AttentionPlan& plan);

// `x` [T,heads,width] with each row's heads side by side, the rows at any distance: what attention
// and append() read as it is. A copy only where it has to be.
Tensor with_dense_heads(Ctx& c, const Tensor& x);

}  // namespace stemma
