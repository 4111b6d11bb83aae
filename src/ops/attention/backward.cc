// Backward (FlashAttention-2, with the loops the other way round): strip by strip, key block by key
// block, with p = exp(scale q k^T - lse) computed anew and delta = sum over columns of dout * out:
//   dv += p^T dout;  dp = dout v^T;  ds = p (dp - delta) scale;  dq += ds k;  dk += ds^T q.
#include "gemm/f32.h"
#include "ops/attention/scratch.h"
#include "ops/attention/tiled.h"

namespace stemma::tiled {
namespace {

// The keys and values of one sequence and head in the three forms that the products need.
struct PackedKeys {
  PackedKeys(Ctx& c, const Problem& p, const Sequence& s, int64_t kv_head)
      : blocks((s.keys + kKeys - 1) / kKeys),
        k_floats(kKeys * p.d),
        v_floats(kKeys * p.dv),
        column_floats(kKeys * round_up(p.d)),
        k_transposed(c, blocks * k_floats),
        v_transposed(c, blocks * v_floats),
        k_columns(c, blocks * column_floats) {
    const int64_t k_stride = p.kv_heads * p.d, v_stride = p.kv_heads * p.dv;
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t keys = std::min(kKeys, s.keys - b * kKeys);
      const float* k = s.k + b * kKeys * k_stride + kv_head * p.d;
      const float* v = s.v + b * kKeys * v_stride + kv_head * p.dv;
      pack_transposed({k, k_stride, true}, p.d, keys, k_transposed + b * k_floats);
      pack_transposed({v, v_stride, true}, p.dv, keys, v_transposed + b * v_floats);
      pack_columns({k, k_stride}, keys, p.d, kKeys, k_columns + b * column_floats);
    }
  }
  int64_t blocks, k_floats, v_floats, column_floats;
  Floats k_transposed, v_transposed, k_columns;
};

struct Scratch {
  Scratch(Ctx& c, const Problem& p)
      : q_tiles(c, tile_floats(p.d)),
        dout_tiles(c, tile_floats(p.dv)),
        q_columns(c, kStrip * round_up(p.d)),
        dout_columns(c, kStrip * round_up(p.dv)),
        scores(c, kStrip * kKeys),
        dp(c, kStrip * kKeys),
        tiles(c, f32::row_floats(kKeys)) {}
  Floats q_tiles, dout_tiles, q_columns, dout_columns, scores, dp, tiles;
};

void run(const Problem& p, const Sequence& s, const Gradients& g, int64_t kv_head,
         const Strip& strip, const PackedKeys& packed, const Scratch& x) {
  const int64_t k_stride = p.kv_heads * p.d, v_stride = p.kv_heads * p.dv;
  const Rows q = rows_of(p, strip, p.d), out = rows_of(p, strip, p.dv), row = rows_of(p, strip, 1);
  const MatrixRef q_rows{s.q + q.offset, q.stride}, dout_rows{g.dout + out.offset, out.stride};
  pack_tiles(q_rows, strip.rows, p.d, x.q_tiles);
  pack_tiles(dout_rows, strip.rows, p.dv, x.dout_tiles);
  if (g.dk != nullptr) pack_columns(q_rows, strip.rows, p.d, strip.rows, x.q_columns);
  if (g.dv != nullptr) pack_columns(dout_rows, strip.rows, p.dv, strip.rows, x.dout_columns);
  float delta[kStrip], lse[kStrip];
  for (int64_t r = 0; r < strip.rows; ++r) {
    lse[r] = s.lse[row.offset + r * row.stride];
    const int64_t at = out.offset + r * out.stride;
    delta[r] = dot(s.out + at, g.dout + at, p.dv);
  }

  for (int64_t b = 0; b < packed.blocks; ++b) {
    const int64_t begin = b * kKeys, keys = std::min(kKeys, s.keys - begin);
    const View seen = view(p, s, strip, begin, keys);
    const int64_t depth = seen.last(strip.rows - 1);  // keys past it have p = 0 in every row
    if (depth <= 0 || seen.first(0) >= keys) continue;
    multiply_tiles(x.q_tiles, strip.rows, p.d, packed.k_transposed + b * packed.k_floats, keys,
                   x.scores);
    multiply_tiles(x.dout_tiles, strip.rows, p.dv, packed.v_transposed + b * packed.v_floats, keys,
                   x.dp);
    softmax_backward(seen, strip.rows, p.scale, lse, delta, x.scores, x.dp);
    // Each gradient continues the sums it holds.
    const auto add = [&](const MatrixRef& left, int64_t m, int64_t k, const Columns& right,
                         float* to, int64_t stride) {
      f32::pack_rows(left, 0, m, 0, k, x.tiles);
      multiply_columns({.rows = x.tiles,
                        .transposed = left.transposed,
                        .m = m,
                        .depth = k,
                        .bias = nullptr,
                        .from_out = true},
                       right, to, stride);
    };
    if (g.dv != nullptr)
      add({x.scores, kKeys, true}, depth, strip.rows, {x.dout_columns, strip.rows, p.dv},
          g.dv + begin * v_stride + kv_head * p.dv, v_stride);
    if (g.dk != nullptr)
      add({x.dp, kKeys, true}, depth, strip.rows, {x.q_columns, strip.rows, p.d},
          g.dk + begin * k_stride + kv_head * p.d, k_stride);
    if (g.dq != nullptr)
      add({x.dp, kKeys}, strip.rows, depth,
          {packed.k_columns + b * packed.column_floats, kKeys, p.d}, g.dq + q.offset, q.stride);
  }
}

}  // namespace

void backward(Ctx& c, const Problem& p, const std::vector<Gradients>& gradients) {
  const int64_t tasks = static_cast<int64_t>(p.sequences.size()) * p.kv_heads;
  c.team->run_range(tasks, piece_of(p, tasks), [&](int64_t begin, int64_t end) {
    const Scratch scratch(c, p);
    for (int64_t task = begin; task < end; ++task) {
      const Sequence& s = p.sequences[task / p.kv_heads];
      const int64_t kv_head = task % p.kv_heads;
      const PackedKeys packed(c, p, s, kv_head);
      for (int64_t i = 0; i < strips(p, s); ++i)
        run(p, s, gradients[task / p.kv_heads], kv_head, strip(p, s, kv_head, i), packed, scratch);
    }
  });
}

}  // namespace stemma::tiled
