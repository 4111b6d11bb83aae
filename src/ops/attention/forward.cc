// Forward: a task is a sequence, a key head and a few strips of queries. Key block by key block:
// scores = q k^T; softmax against the running maximum; out = shrunk out + p v. At the end out /
// sum.
#include <algorithm>
#include <cmath>

#include "gemm/f32.h"
#include "ops/attention/scratch.h"
#include "ops/attention/tiled.h"

namespace stemma::tiled {
namespace {

// A task's strips share the packed keys and values.
constexpr int64_t kTaskStrips = 4;

struct Task {
  const Sequence* sequence;
  int64_t kv_head, first_strip, last_strip;
};

struct Scratch {
  Scratch(Ctx& c, const Problem& p)
      : width(round_up(p.dv)),
        q(c, kTaskStrips * tile_floats(p.d)),
        k(c, kKeys * p.d),
        v(c, kKeys * width),
        scores(c, kStrip * kKeys),
        p_tiles(c, tile_floats(kKeys)),
        out(c, kTaskStrips * kStrip * width),
        max(c, kTaskStrips * kStrip),
        sum(c, kTaskStrips * kStrip) {}
  int64_t width;  // dv up to whole panels
  Floats q, k, v, scores, p_tiles, out, max, sum;
};

// A block's keys and values as right operands.
struct Block {
  const float *k, *v;
};

// Where they lie in a page, or packed from rows on the way.
Block block_of(const Problem& p, const Sequence& s, int64_t kv_head, int64_t index,
               const Scratch& x) {
  if (s.pages != nullptr) {
    const KvLayout layout = p.layout();
    const std::byte* head =
        s.pages->pages[index - s.pages->first_page] + kv_head * layout.head_bytes();
    return {reinterpret_cast<const float*>(head),
            reinterpret_cast<const float*>(head + layout.key_bytes())};
  }
  const int64_t k_stride = p.kv_heads * p.d, v_stride = p.kv_heads * p.dv;
  const int64_t begin = index * kKeys, keys = std::min(kKeys, s.keys - begin);
  pack_transposed({s.k + begin * k_stride + kv_head * p.d, k_stride, true}, p.d, keys, x.k);
  pack_columns({s.v + begin * v_stride + kv_head * p.dv, v_stride}, keys, p.dv, kKeys, x.v);
  return {x.k, x.v};
}

void run(const Problem& p, const Task& task, const Scratch& x) {
  const Sequence& s = *task.sequence;
  const int64_t count = task.last_strip - task.first_strip;

  Strip strips[kTaskStrips];
  Running running[kTaskStrips];
  int64_t first_key = s.keys, last_key = 0;  // that any of the strips sees
  for (int64_t i = 0; i < count; ++i) {
    strips[i] = strip(p, s, task.kv_head, task.first_strip + i);
    const Rows q = rows_of(p, strips[i], p.d);
    pack_tiles({s.q + q.offset, q.stride}, strips[i].rows, p.d, x.q + i * tile_floats(p.d));
    running[i] = {.max = x.max + i * kStrip,
                  .sum = x.sum + i * kStrip,
                  .out = x.out + i * kStrip * x.width,
                  .stride = x.width,
                  .width = p.dv};
    std::fill_n(running[i].max, strips[i].rows, -HUGE_VALF);
    std::fill_n(running[i].sum, strips[i].rows, 0.0f);
    std::fill_n(running[i].out, strips[i].rows * x.width, 0.0f);
    const View whole = view(p, s, strips[i], 0, s.keys);
    first_key = std::min(first_key, whole.first(0));
    last_key = std::max(last_key, whole.last(strips[i].rows - 1));
  }

  for (int64_t begin = first_key / kKeys * kKeys; begin < last_key; begin += kKeys) {
    const int64_t keys = std::min(kKeys, s.keys - begin);
    const Block block = block_of(p, s, task.kv_head, begin / kKeys, x);
    for (int64_t i = 0; i < count; ++i) {
      const View seen = view(p, s, strips[i], begin, keys);
      const int64_t depth = seen.last(strips[i].rows - 1);  // keys past it have p = 0 in every row
      if (depth <= 0 || seen.first(0) >= keys) continue;
      multiply_tiles(x.q + i * tile_floats(p.d), strips[i].rows, p.d, block.k, keys, x.scores);
      softmax(seen, strips[i].rows, p.scale, x.scores, running[i]);
      f32::pack_rows({x.scores, kKeys}, 0, strips[i].rows, 0, depth, x.p_tiles);
      multiply_columns({.rows = x.p_tiles,
                        .transposed = false,
                        .m = strips[i].rows,
                        .depth = depth,
                        .bias = nullptr,
                        .from_out = true},
                       {block.v, kKeys, x.width}, running[i].out, x.width);
    }
  }

  for (int64_t i = 0; i < count; ++i) {
    const Rows out = rows_of(p, strips[i], p.dv), lse = rows_of(p, strips[i], 1);
    finish(running[i], strips[i].rows, s.out + out.offset, out.stride,
           s.lse ? s.lse + lse.offset : nullptr, lse.stride);
  }
}

}  // namespace

void forward(Ctx& c, const Problem& p) {
  std::vector<Task> tasks;
  for (const Sequence& s : p.sequences) {
    const int64_t n = strips(p, s);
    for (int64_t h = 0; h < p.kv_heads; ++h)
      for (int64_t i = 0; i < n; i += kTaskStrips)
        tasks.push_back({&s, h, i, std::min(n, i + kTaskStrips)});
  }
  const int64_t count = static_cast<int64_t>(tasks.size());
  c.team->run_range(count, piece_of(p, count), [&](int64_t begin, int64_t end) {
    const Scratch scratch(c, p);
    for (int64_t i = begin; i < end; ++i) run(p, tasks[i], scratch);
  });
}

}  // namespace stemma::tiled
