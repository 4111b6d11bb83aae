// Backward (FlashAttention-2, with the loops the other way round): strip by strip, key block by key
// block, with p = 2^(score - total) computed anew and delta = sum over columns of dout * out, less
// the gradient of log-sum-exp:
//   dv += p^T dout;  dp = dout v^T;  ds = p (dp - delta);  dq += scale ds k;  dk += scale ds^T q;
//   a bias at (query, key) += ds;  a sink -= p_sink delta, since its value is zero.
// The strips of one sequence and key head are cut into at most kMostChunks chunks, by their number
// alone. The chunks of a long sequence sum dk and dv on their own; the sums are added in ascending
// order, and so are the gradients of biases and sinks, which many chunks share.
#include <algorithm>
#include <cmath>
#include <optional>

#include "ops/attention/operands.h"
#include "ops/attention/tiled.h"

namespace stemma::tiled {
namespace {

constexpr int64_t kChunkStrips = 16;
constexpr int64_t kMostChunks = 8;

// The keys and values of one sequence and head in the three forms that the products need.
template <class F>
class PackedKeys {
 public:
  using Element = typename F::Element;
  PackedKeys(Ctx& c, const Problem& p, const Sequence& s, int64_t kv_head)
      : blocks((s.keys + kKeys - 1) / kKeys),
        sizes_{2 * F::panel_elements(p.d), 2 * F::panel_elements(p.dv),
               column_elements<F>(kKeys, p.d)},
        memory_(c, blocks * (sizes_[0] + sizes_[1] + sizes_[2])),
        p_(p),
        s_(s),
        kv_head_(kv_head) {}
  void pack(int64_t b) {
    const int64_t keys = std::min(kKeys, s_.keys - b * kKeys);
    const float* k = s_.kv.k + b * kKeys * s_.kv.k_stride + kv_head_ * p_.d;
    const float* v = s_.kv.v + b * kKeys * s_.kv.v_stride + kv_head_ * p_.dv;
    pack_transposed<F>({k, s_.kv.k_stride, true}, p_.d, keys, block(b));
    pack_transposed<F>({v, s_.kv.v_stride, true}, p_.dv, keys, block(b) + sizes_[0]);
    pack_columns<F>({k, s_.kv.k_stride}, keys, p_.d, kKeys, block(b) + sizes_[0] + sizes_[1]);
  }
  const Element* k_transposed(int64_t b) const { return block(b); }
  const Element* v_transposed(int64_t b) const { return block(b) + sizes_[0]; }
  Columns<F> k_columns(int64_t b) const { return {block(b) + sizes_[0] + sizes_[1], kKeys, p_.d}; }
  const int64_t blocks;

 private:
  Element* block(int64_t b) const { return memory_ + b * (sizes_[0] + sizes_[1] + sizes_[2]); }
  int64_t sizes_[3];
  Scratch<Element> memory_;
  const Problem& p_;
  const Sequence& s_;
  int64_t kv_head_;
};

template <class F>
struct Memory {
  using Element = typename F::Element;
  Memory(Ctx& c, const Problem& p)
      : scaled_q(c, kStrip * p.d),
        q_tiles(c, tile_bytes<F>(kStrip, p.d)),
        dout_tiles(c, tile_bytes<F>(kStrip, p.dv)),
        q_columns(c, column_elements<F>(kStrip, p.d)),
        dout_columns(c, column_elements<F>(kStrip, p.dv)),
        scores(c, kStrip * kKeys),
        dp(c, kStrip * kKeys),
        pairs(c, pair_elements(p)),
        tiles(c, F::row_bytes(kKeys)) {}
  Floats scaled_q;
  Bytes q_tiles, dout_tiles;
  Scratch<Element> q_columns, dout_columns;
  Floats scores, dp, pairs;
  Bytes tiles;
};

// Where one chunk adds what other chunks add to as well.
struct Sums {
  float *dk, *dv;  // the head's first column of the first key; null: not wanted
  int64_t k_stride, v_stride;
  // Lines of the group's heads, `line` apart (distance: from key 0 seen by the last query on).
  float *distance, *key;
  int64_t distance_line, key_line;
  float* sink;  // [group]
  // Of each pair bias, the sequence's first row for the group's first head; null: not wanted.
  struct Rows {
    float* at;
    int64_t row_stride, head_stride;
  };
  Rows pairs[kMostPairBiases] = {};
};

// One key head of one sequence.
struct Unit {
  size_t sequence;
  int64_t kv_head, strips, chunks;
  int64_t first_chunk;  // of all units' chunks

  int64_t first_strip(int64_t chunk) const { return strips * chunk / chunks; }
};

int64_t chunks_of(int64_t strips) {
  return std::clamp<int64_t>(strips / kChunkStrips, 1, kMostChunks);
}

int64_t distance_line(const Sequence& s) { return s.keys + s.ahead() - 1 + kKeys; }
int64_t key_line(const Sequence& s) { return s.keys + kKeys; }

// The memory that chunks sum in, beside the gradients themselves.
class Partials {
 public:
  Partials(Ctx& c, const Problem& p, std::span<const Unit> units,
           std::span<const Gradients> gradients, const SharedGradients& shared)
      : p_(p), gradients_(gradients), sums_(c.pool), memory_(c.pool) {
    for (const Unit& u : units) {
      const Sequence& s = p.sequences[u.sequence];
      const Gradients& g = gradients[u.sequence];
      const bool apart = u.chunks > 1;
      const int64_t sizes[] = {apart && g.dk ? s.keys * p.d : 0, apart && g.dv ? s.keys * p.dv : 0,
                               shared.distance_bias ? p.group() * distance_line(s) : 0,
                               shared.key_bias ? p.group() * key_line(s) : 0,
                               shared.sink ? p.group() : 0};
      int64_t total = 0;
      for (int64_t n : sizes) total += n;
      int64_t pair_sizes[kMostPairBiases] = {};  // of rows a key that several chunks add to
      for (size_t b = 0; b < p.pair_bias.size(); ++b)
        if (apart && shared.pair_bias[b].rows && p.pair_bias[b].of_key)
          total += pair_sizes[b] = p.group() * s.keys * shared.pair_bias[b].columns;
      for (int64_t i = 0; i < u.chunks; ++i) {
        Sums& sums = sums_.emplace_back();
        sums = {.dk = g.dk ? g.dk + u.kv_head * p.d : nullptr,
                .dv = g.dv ? g.dv + u.kv_head * p.dv : nullptr,
                .k_stride = p.kv_heads * p.d,
                .v_stride = p.kv_heads * p.dv,
                .distance = nullptr,
                .key = nullptr,
                .distance_line = distance_line(s),
                .key_line = key_line(s),
                .sink = nullptr};
        for (size_t b = 0; b < p.pair_bias.size(); ++b) {
          const SharedGradients::Rows& rows = shared.pair_bias[b];
          const int64_t first = p.pair_bias[b].of_key ? s.first_key : s.first_query;
          if (rows.rows)
            sums.pairs[b] = {
                rows.rows + (first * rows.heads + u.kv_head * p.group()) * rows.columns,
                rows.heads * rows.columns, rows.columns};
        }
        if (total == 0) continue;
        float* at = memory_.emplace_back(c, total);
        std::fill_n(at, total, 0.0f);
        float** const places[] = {&sums.dk, &sums.dv, &sums.distance, &sums.key, &sums.sink};
        for (int j = 0; j < 5; ++j) {
          if (sizes[j] > 0) *places[j] = at;
          at += sizes[j];
        }
        if (apart) sums.k_stride = p.d, sums.v_stride = p.dv;
        for (size_t b = 0; b < p.pair_bias.size(); ++b) {
          const int64_t columns = shared.pair_bias[b].columns;
          if (pair_sizes[b] > 0) sums.pairs[b] = {at, columns, s.keys * columns};
          at += pair_sizes[b];
        }
      }
    }
  }
  const Sums& sums(const Unit& u, int64_t chunk) const {
    return sums_[static_cast<size_t>(u.first_chunk + chunk)];
  }

  // Rows of block `b` of a unit's keys, to the gradients.
  void merge_keys(const Unit& u, int64_t b) const {
    const Sequence& s = p_.sequences[u.sequence];
    const Gradients& g = gradients_[u.sequence];
    const int64_t first = b * kKeys, last = std::min(s.keys, first + kKeys);
    for (int64_t i = 0; i < u.chunks; ++i)
      for (int64_t key = first; key < last; ++key) {
        if (g.dk)
          add_to(sums(u, i).dk + key * p_.d, p_.d, g.dk + (key * p_.kv_heads + u.kv_head) * p_.d);
        if (g.dv)
          add_to(sums(u, i).dv + key * p_.dv, p_.dv,
                 g.dv + (key * p_.kv_heads + u.kv_head) * p_.dv);
      }
  }
  // Rows a key of pair biases, of block `b` of a unit's keys.
  void merge_pairs(const Unit& u, int64_t b, const SharedGradients& shared) const {
    const Sequence& s = p_.sequences[u.sequence];
    const int64_t first = b * kKeys, last = std::min(s.keys, first + kKeys);
    for (size_t n = 0; n < p_.pair_bias.size(); ++n) {
      const SharedGradients::Rows& to = shared.pair_bias[n];
      if (!p_.pair_bias[n].of_key || !to.rows) continue;
      for (int64_t i = 0; i < u.chunks; ++i)
        for (int64_t h = 0; h < p_.group(); ++h) {
          const Sums::Rows& from = sums(u, i).pairs[n];
          for (int64_t key = first; key < last; ++key)
            add_to(from.at + h * from.head_stride + key * from.row_stride, to.columns,
                   to.rows +
                       ((s.first_key + key) * to.heads + u.kv_head * p_.group() + h) * to.columns);
        }
    }
  }
  // What all sequences share, of the heads of one group.
  void merge_shared(std::span<const Unit> units, int64_t kv_head,
                    const SharedGradients& shared) const {
    for (const Unit& u : units) {
      if (u.kv_head != kv_head) continue;
      const Sequence& s = p_.sequences[u.sequence];
      for (int64_t i = 0; i < u.chunks; ++i) {
        const Sums& from = sums(u, i);
        for (int64_t h = 0; h < p_.group(); ++h) {
          const int64_t head = kv_head * p_.group() + h;
          if (from.distance)
            add_to(from.distance + h * from.distance_line, s.keys + s.ahead() - 1,
                   shared.distance_bias +
                       (p_.distance_bias.at(head, 1 - s.keys) - p_.distance_bias.values));
          if (from.key)
            add_to(from.key + h * from.key_line, s.keys,
                   shared.key_bias + (p_.key_bias.at(head, s.first_key) - p_.key_bias.values));
          if (from.sink) shared.sink[head] += from.sink[h];
        }
      }
    }
  }

 private:
  const Problem& p_;
  std::span<const Gradients> gradients_;
  PoolVector<Sums> sums_;
  PoolVector<Floats> memory_;
};

// Pointers a row to the gradients of bias lines, at the first key of a block.
class BiasSumRows {
 public:
  BiasSumRows(const Problem& p, const Sequence& s, const Strip& strip, const Sums& sums)
      : rows_(strip.rows), has_{sums.distance != nullptr, sums.key != nullptr} {
    for (int64_t r = 0; r < rows_; ++r) {
      const int64_t head = strip.head_of(r) % p.group();
      if (has_[0])
        origins_[0][r] =
            sums.distance + head * sums.distance_line + s.keys - 1 - s.position(strip.query_of(r));
      if (has_[1]) origins_[1][r] = sums.key + head * sums.key_line;
    }
  }
  BiasSums at(int64_t begin) {
    for (int i = 0; i < 2; ++i)
      for (int64_t r = 0; has_[i] && r < rows_; ++r) at_[i][r] = origins_[i][r] + begin;
    return {has_[0] ? at_[0] : nullptr, has_[1] ? at_[1] : nullptr};
  }

 private:
  int64_t rows_;
  bool has_[2];
  float* origins_[2][kStrip];
  float* at_[2][kStrip];
};

// Adds ds (times the problem's scale, as it comes) of a strip against `keys` keys from `begin` on
// to the rows that the pair biases picked.
void add_pairs(const Problem& p, const Sequence& s, const Strip& strip, const Sums& sums,
               int64_t begin, int64_t keys, const float* ds) {
  Picked picked;
  for (size_t b = 0; b < p.pair_bias.size(); ++b) {
    const Sums::Rows& to = sums.pairs[b];
    if (to.at == nullptr) continue;
    const PairBias& bias = p.pair_bias[b];
    for (int64_t r = 0; r < strip.rows; ++r) {
      const int64_t query = strip.query_of(r), head = strip.head_of(r) % p.group();
      pick_elements(s, bias, to.row_stride, query, begin, picked);
      float* row = to.at + head * to.head_stride + (bias.of_key ? begin : query) * to.row_stride;
      for (int64_t j = 0; j < keys; ++j) row[picked.index[j]] += ds[r * kKeys + j] / p.scale;
    }
  }
}

template <class F>
void run(const Problem& p, size_t sequence, const Gradients& g, const Sums& sums,
         const Strip& strip, const PackedKeys<F>& packed, const Memory<F>& x) {
  const Sequence& s = p.sequences[sequence];
  const int64_t rows = strip.rows;
  const Rows q = query_rows(p, strip), dq = rows_of(p, strip, p.d), out = rows_of(p, strip, p.dv),
             row = rows_of(p, strip, 1);
  const MatrixRef q_rows{s.q + q.offset, q.stride};
  const MatrixRef dout_rows{g.dout + out.offset, out.stride};
  scale_rows(s.q + q.offset, q.stride, rows, p.d, p.scale * kLog2E, x.scaled_q);
  pack_tiles<F>({x.scaled_q, p.d}, rows, p.d, x.q_tiles);
  pack_tiles<F>(dout_rows, rows, p.dv, x.dout_tiles);
  if (sums.dk) pack_columns<F>(q_rows, rows, p.d, kStrip, x.q_columns);
  if (sums.dv) pack_columns<F>(dout_rows, rows, p.dv, kStrip, x.dout_columns);
  float delta[kStrip], total[kStrip];
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = row.offset + r * row.stride;
    total[r] = s.total[at];
    delta[r] = dot(g.out + out.offset + r * out.stride, g.dout + out.offset + r * out.stride, p.dv);
    if (g.dlse) delta[r] -= g.dlse[at];
    if (sums.sink)
      sums.sink[strip.head_of(r) % p.group()] -=
          std::exp2(p.sink[strip.head_of(r)] * kLog2E - total[r]) * delta[r];
  }

  Seen seen(p, s, sequence, strip);
  BiasRows bias(p, s, strip);
  BiasSumRows bias_sums(p, s, strip, sums);
  for (int64_t b = std::max<int64_t>(0, seen.first()) / kKeys; b < packed.blocks; ++b) {
    const int64_t begin = b * kKeys, keys = std::min(kKeys, s.keys - begin);
    const int64_t depth = std::min(keys, seen.last() - begin);  // beyond, p is 0 in every row
    if (depth <= 0) break;
    multiply_tiles<F>(x.q_tiles, rows, p.d, packed.k_transposed(b), depth, x.scores);
    multiply_tiles<F>(x.dout_tiles, rows, p.dv, packed.v_transposed(b), depth, x.dp);
    softmax_backward(bias.terms(seen.block(begin), begin, cap_of(p), x.pairs), rows,
                     round_up(depth, kParts), p.scale, total, delta, x.scores, x.dp,
                     bias_sums.at(begin));
    add_pairs(p, s, strip, sums, begin, depth, x.dp);
    // Each gradient continues the sums it holds.
    const auto add = [&](const MatrixRef& left, int64_t m, int64_t k, const Columns<F>& right,
                         float* to, int64_t stride) {
      F::pack_rows(left, m, 0, k, x.tiles);
      multiply_columns<F>(x.tiles, left.transposed, m, k, true, right, to, stride);
    };
    if (sums.dv)
      add({x.scores, kKeys, true}, depth, rows, {x.dout_columns, kStrip, p.dv},
          sums.dv + begin * sums.v_stride, sums.v_stride);
    if (sums.dk)
      add({x.dp, kKeys, true}, depth, rows, {x.q_columns, kStrip, p.d},
          sums.dk + begin * sums.k_stride, sums.k_stride);
    if (g.dq) add({x.dp, kKeys}, rows, depth, packed.k_columns(b), g.dq + dq.offset, dq.stride);
  }
}

template <class F>
void run_all(Ctx& c, const Problem& p, std::span<const Gradients> gradients,
             const SharedGradients& shared) {
  struct Piece {
    size_t unit;
    int64_t index;  // of a chunk, or of a block of keys
  };
  PoolVector<Unit> units(c.pool);
  PoolVector<Piece> chunks(c.pool),
      blocks(c.pool);  // blocks: of the units that have several chunks
  for (size_t s = 0; s < p.sequences.size(); ++s)
    for (int64_t h = 0; h < p.kv_heads; ++h) {
      const int64_t n = strips(p, p.sequences[s]), cut = chunks_of(n);
      const Unit unit{s, h, n, cut, static_cast<int64_t>(chunks.size())};
      for (int64_t i = 0; i < cut; ++i) chunks.push_back({units.size(), i});
      for (int64_t b = 0; cut > 1 && b * kKeys < p.sequences[s].keys; ++b)
        blocks.push_back({units.size(), b});
      units.push_back(unit);
    }
  const Partials partials(c, p, units, gradients, shared);

  PoolVector<std::optional<PackedKeys<F>>> packed(units.size(), c.pool);
  for (const Piece& piece : blocks)
    if (piece.index == 0)
      packed[piece.unit].emplace(c, p, p.sequences[units[piece.unit].sequence],
                                 units[piece.unit].kv_head);
  const auto each = [&](std::span<const Piece> pieces, int64_t grain, auto&& fn) {
    c.team->run_range(static_cast<int64_t>(pieces.size()), grain, fn);
  };
  constexpr int64_t kBlocks = 4;  // of keys, worth a task
  each(blocks, kBlocks, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) packed[blocks[i].unit]->pack(blocks[i].index);
  });

  each(chunks, piece_of(p, static_cast<int64_t>(chunks.size())), [&](int64_t begin, int64_t end) {
    const Memory<F> memory(c, p);
    for (int64_t i = begin; i < end; ++i) {
      const Unit& u = units[chunks[i].unit];
      const int64_t chunk = chunks[i].index;
      const Sequence& s = p.sequences[u.sequence];
      std::optional<PackedKeys<F>> own;
      if (u.chunks == 1) {
        own.emplace(c, p, s, u.kv_head);
        for (int64_t b = 0; b < own->blocks; ++b) own->pack(b);
      }
      const PackedKeys<F>& keys = own ? *own : *packed[chunks[i].unit];
      for (int64_t n = u.first_strip(chunk); n < u.first_strip(chunk + 1); ++n)
        run<F>(p, u.sequence, gradients[u.sequence], partials.sums(u, chunk),
               strip(p, s, u.kv_head, n), keys, memory);
    }
  });

  each(blocks, kBlocks, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      partials.merge_keys(units[blocks[i].unit], blocks[i].index),
          partials.merge_pairs(units[blocks[i].unit], blocks[i].index, shared);
  });
  if (shared.distance_bias || shared.key_bias || shared.sink)
    c.team->run_range(p.kv_heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t h = begin; h < end; ++h) partials.merge_shared(units, h, shared);
    });
}

}  // namespace

void backward(Ctx& c, const Problem& p, std::span<const Gradients> gradients,
              const SharedGradients& shared) {
  with_format(p.dtype, [&](auto format) { run_all<decltype(format)>(c, p, gradients, shared); });
}

}  // namespace stemma::tiled
