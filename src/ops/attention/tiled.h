// The tiled kernels of attention: online softmax forwards, recomputation backwards, memory linear
// in length. Keys are cut into blocks of kKeys at absolute multiples from the sequence's start and
// merged from left to right; queries are cut into strips, which changes no result.
// Scores are kept in units of log 2: queries are scaled by scale log2(e) beforehand, so that a
// probability is a plain power of two.
#pragma once

#include <cstdint>
#include <span>

#include "ops/attention/mask.h"
#include "ops/attention/pages.h"
#include "tensor/ctx.h"

namespace stemma::tiled {

constexpr int64_t kKeys = KvLayout::kTokens;  // keys of a block
constexpr int64_t kStrip = 48;                // most queries of a strip: four tiles of 12 rows
constexpr float kLog2E = 1.44269504f;
constexpr float kLn2 = 0.693147181f;

struct Sequence {
  int64_t queries, keys;
  const float* q;        // first row
  KvRows kv;             // first row; null pointers where there are pages
  const KvPages* pages;  // null where there are rows
  float* out;            // dense rows [heads, dv]
  float *lse, *total;    // rows [heads]: log-sum-exp of the scores, natural and to base 2; or null
  int64_t first_query, first_key;  // rows of the call
  const int32_t* positions;        // [queries]; null: at the end of the keys

  int64_t position(int64_t query) const {
    return positions ? positions[query] : keys - queries + query;
  }
  // Distances j - p lie in [1 - keys, ahead).
  int64_t ahead() const { return positions ? keys : queries; }
};

// A bias known beforehand, to base 2: for each head a line of floats, readable 64 past its end.
struct Lines {
  const float* values = nullptr;  // null: none
  int64_t stride = 0;             // from head to head
  int64_t origin = 0;             // where index 0 lies

  const float* at(int64_t head, int64_t index) const {
    return values + head * stride + origin + index;
  }
};

// A bias whose column is picked by the pair of query and key: rows [rows, heads, columns] of the
// queries or of the keys. `columns` of a distance p - j: column_of[origin + j - p], readable for
// every pair; where it is null, 0 for a pair of one segment and 1 for others.
struct PairBias {
  const float* rows;
  int64_t row_stride, head_stride;
  bool of_key;
  const int32_t* column_of;
  int64_t origin;
  const int32_t *query_segment, *key_segment;  // of the call's rows

  const float* row(int64_t row, int64_t head) const {
    return rows + row * row_stride + head * head_stride;
  }
};
constexpr int kMostPairBiases = 3;

struct Problem {
  int64_t heads, kv_heads, d, dv;
  int64_t q_stride;  // from query to query
  float scale, cap;  // cap: of the scores, natural; 0: none
  DType dtype;       // that keys, values and probabilities are multiplied in
  const Mask* mask;
  Lines distance_bias;             // index j - p
  Lines key_bias;                  // index key
  PoolVector<PairBias> pair_bias;  // natural
  const float* sink;               // [heads], natural; null: none
  PoolVector<Sequence> sequences;

  int64_t group() const { return heads / kv_heads; }
};

void forward(Ctx& c, const Problem& p);

// What backward() reads and adds to, next to a Sequence.
struct Gradients {
  const float *dout, *dlse;  // dense rows [heads, dv] and [heads]; null: none arrived
  const float* out;
  float *dq, *dk, *dv;  // dense rows; null: not wanted
};
// Gradients of what all sequences share; null: not wanted. Lines as the problem's.
struct SharedGradients {
  float *distance_bias, *key_bias;
  float* sink;
  // As the rows of each of pair_bias, dense [rows, heads, columns].
  struct Rows {
    float* rows;
    int64_t heads, columns;
  };
  Rows pair_bias[kMostPairBiases];
};
// Cut by the problem's size; what several pieces add to one place is added in a fixed order.
void backward(Ctx& c, const Problem& p, std::span<const Gradients> gradients,
              const SharedGradients& shared);

// A strip: queries of one head, or, where a sequence has a single query, heads of one group.
struct Strip {
  int64_t head, query, rows;
  bool across_heads;

  int64_t head_of(int64_t row) const { return across_heads ? head + row : head; }
  int64_t query_of(int64_t row) const { return across_heads ? query : query + row; }
};
int64_t strips(const Problem& p, const Sequence& s);
Strip strip(const Problem& p, const Sequence& s, int64_t kv_head, int64_t index);

// What is added to the scores of a strip against a block, and which of them count.
struct Terms {
  const uint64_t* seen;               // a word a row, bit j for key j of the block; null: all
  const float* const* distance_bias;  // a pointer a row, to the block's first key; null: none
  const float* const* key_bias;
  const float* pair_bias;  // [rows, kKeys]; null: none
  float cap;               // to base 2
};

// ---- One strip against one block, at the level of isa(). Scores are [rows, kKeys], to base 2;
// `columns` of them, a multiple of 16, hold every key that a row sees.

// Running sums of a strip; sums of probabilities are kept in 16 parts.
constexpr int64_t kParts = 16;
struct Running {
  float *max, *sum;  // [rows], [rows, kParts]
  float* out;        // [rows, stride]
  int64_t stride, width;
};
// Dot products become probabilities relative to the running maximum; what has been summed so far
// is scaled to a new maximum.
void softmax(const Terms& terms, int64_t rows, int64_t columns, float* scores,
             const Running& running);
// out = running.out / sum, 0 where the sum is 0.
struct Finished {
  float* out;
  int64_t out_stride;
  float *lse, *total;  // may be null
  int64_t stride;
};
void finish(const Running& running, int64_t rows, const Finished& to);

// Dot products become p, and dp becomes ds scale, with ds = p (dp - delta) [times the cap's
// derivative], the gradient of the score; ds is also added to the lines of bias gradients, a
// pointer a row (null: none).
struct BiasSums {
  float *const *distance, *const *key;
};
void softmax_backward(const Terms& terms, int64_t rows, int64_t columns, float scale,
                      const float* total, const float* delta, float* scores, float* dp,
                      const BiasSums& sums);

// out[i] (+)= by * from[index[i]] for i < n; n a multiple of 16.
void gather_row(const float* from, const int32_t* index, int64_t n, float by, bool add, float* out);

float dot(const float* a, const float* b, int64_t n);
// to = from * by
void scale_rows(const float* from, int64_t from_stride, int64_t rows, int64_t width, float by,
                float* to);
// to += from
void add_to(const float* from, int64_t n, float* to);

}  // namespace stemma::tiled
