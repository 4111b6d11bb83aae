// The tiled f32 kernels of attention: online softmax forwards, recomputation backwards, memory
// linear in length. Keys are cut into blocks of kKeys at absolute multiples from the sequence's
// start and merged from left to right; queries are cut into strips, which changes no result.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/attention/pages.h"
#include "tensor/ctx.h"

namespace stemma::tiled {

constexpr int64_t kKeys = KvLayout::kTokens;  // keys of a block
constexpr int64_t kStrip = 48;                // most queries of a strip: four tiles of 12 rows

struct Sequence {
  int64_t queries, keys;
  const float *q, *k, *v;  // first row; rows are [heads, d], [kv_heads, d], [kv_heads, dv]
  const KvPages* pages;    // where k and v are null
  float* out;              // rows [heads, dv]
  float* lse;              // rows [heads]: log-sum-exp of the scaled scores; null: not wanted
};

// What backward() reads and adds to, next to the Sequence.
struct Gradients {
  const float* dout;
  float *dq, *dk, *dv;  // null: not wanted
};

struct Problem {
  int64_t heads, kv_heads, d, dv;
  bool causal;
  int64_t window;
  float scale;
  std::vector<Sequence> sequences;

  int64_t group() const { return heads / kv_heads; }
  KvLayout layout() const { return {.kv_heads = kv_heads, .d = d, .dv = dv}; }
};

void forward(Ctx& c, const Problem& p);
// One task, and so one writer, for each sequence and key head: sums have a fixed order.
void backward(Ctx& c, const Problem& p, const std::vector<Gradients>& gradients);

// A strip: queries of one head, or, where a sequence has a single query, heads of one group.
struct Strip {
  int64_t head, query, rows;
  bool across_heads;
};
int64_t strips(const Problem& p, const Sequence& s);
Strip strip(const Problem& p, const Sequence& s, int64_t kv_head, int64_t index);

// Which keys of a block the rows of a strip see.
struct View {
  int64_t position, step;  // of row 0, and from row to row
  int64_t begin, keys;     // the block: its first key, and how many it has
  bool causal;
  int64_t window;

  // Row r sees the keys [first(r), last(r)) of the block (none where first >= last).
  int64_t first(int64_t r) const {
    if (window == 0) return 0;
    const int64_t key = position + r * step - window + 1 - begin;
    return key < 0 ? 0 : key;
  }
  int64_t last(int64_t r) const {
    if (!causal) return keys;
    const int64_t key = position + r * step + 1 - begin;
    return key > keys ? keys : key;
  }
};

// One strip against one block, at the level of isa(). Scores are [rows, kKeys].
struct Running {
  float *max, *sum;  // [rows]
  float* out;        // [rows, stride]
  int64_t stride, width;
};
// Scores (dot products) become probabilities relative to the running maximum; what has been summed
// so far is scaled to a new maximum.
void softmax(const View& view, int64_t rows, float scale, float* scores, const Running& running);
// scores become p = exp(scale score - lse); dp becomes p (dp - delta) scale.
void softmax_backward(const View& view, int64_t rows, float scale, const float* lse,
                      const float* delta, float* scores, float* dp);
// out[r * out_stride + j] = running.out / sum, or 0 where the sum is 0; lse (may be null)[r *
// step].
void finish(const Running& running, int64_t rows, float* out, int64_t out_stride, float* lse,
            int64_t lse_stride);
float dot(const float* a, const float* b, int64_t n);

}  // namespace stemma::tiled
