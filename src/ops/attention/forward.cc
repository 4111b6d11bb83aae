// Forward: a task is a sequence, a key head and a few strips of queries. Key block by key block:
// scores = q k^T; softmax against the running maximum; out = shrunk out + p v. At the end out /
// sum. A sink is a key whose score is known and whose value is zero: where the sums begin.
#include <algorithm>
#include <cmath>

#include "ops/attention/operands.h"
#include "ops/attention/tiled.h"

namespace stemma::tiled {
namespace {

// A task's strips share the keys and values of a block.
constexpr int64_t kTaskStrips = 4;

struct Task {
  size_t sequence;
  int64_t kv_head, first_strip, last_strip;
};

template <class F>
struct Memory {
  using Element = typename F::Element;
  Memory(Ctx& c, const Problem& p)
      : width(round_up(p.dv, kColumns)),
        block({.kv_heads = 1, .d = p.d, .dv = p.dv, .dtype = F::kDType}),
        scaled_q(c, kStrip * p.d),
        q(c, kTaskStrips * tile_bytes<F>(kStrip, p.d)),
        keys_values(c, block.bytes()),
        scores(c, kStrip * kKeys),
        pairs(c, pair_elements(p)),
        p_tiles(c, F::row_bytes(kStrip)),
        out(c, kTaskStrips * kStrip * width),
        max(c, kTaskStrips * kStrip),
        sum(c, kTaskStrips * kStrip * kParts) {}
  int64_t width;   // dv up to whole panels
  KvLayout block;  // of one head
  Floats scaled_q;
  Bytes q, keys_values;
  Floats scores, pairs;
  Bytes p_tiles;
  Floats out, max, sum;
};

Running begin_sums(const Problem& p, const Strip& strip, int64_t index, int64_t width,
                   const Floats& max, const Floats& sum, const Floats& out) {
  const Running running{.max = max + index * kStrip,
                        .sum = sum + index * kStrip * kParts,
                        .out = out + index * kStrip * width,
                        .stride = width,
                        .width = p.dv};
  std::fill_n(running.sum, strip.rows * kParts, 0.0f);
  std::fill_n(running.out, strip.rows * width, 0.0f);
  for (int64_t r = 0; r < strip.rows; ++r) {
    running.max[r] = p.sink ? p.sink[strip.head_of(r)] * kLog2E : -HUGE_VALF;
    if (p.sink) running.sum[r * kParts] = 1;
  }
  return running;
}

// Where a block's keys and values of one head lie: in a page, or packed on the way.
const std::byte* block_of(const Problem& p, const Sequence& s, int64_t kv_head, int64_t index,
                          const KvLayout& block, std::byte* memory) {
  if (s.pages != nullptr)
    return s.pages->pages[static_cast<size_t>(index - s.pages->first_page)] +
           kv_head * block.bytes();
  const int64_t begin = index * kKeys;
  const KvRows head{s.kv.k + begin * s.kv.k_stride + kv_head * p.d, s.kv.k_stride,
                    s.kv.v + begin * s.kv.v_stride + kv_head * p.dv, s.kv.v_stride};
  pack_block(block, memory, std::min(kKeys, s.keys - begin), head);
  return memory;
}

template <class F>
void run(Ctx& c, const Problem& p, const Task& task, const Memory<F>& x) {
  const Sequence& s = p.sequences[task.sequence];
  const int64_t count = task.last_strip - task.first_strip;
  const int64_t q_bytes = tile_bytes<F>(kStrip, p.d);

  PoolVector<Strip> strips(c.pool);
  PoolVector<Seen> seen(c.pool);
  PoolVector<BiasRows> bias(c.pool);
  PoolVector<Running> running(c.pool);
  strips.reserve(kTaskStrips), seen.reserve(kTaskStrips);
  bias.reserve(kTaskStrips), running.reserve(kTaskStrips);
  int64_t first_key = s.keys, last_key = 0;  // that any of the strips sees
  for (int64_t i = 0; i < count; ++i) {
    const Strip& strip =
        strips.emplace_back(tiled::strip(p, s, task.kv_head, task.first_strip + i));
    const Rows q = query_rows(p, strip);
    scale_rows(s.q + q.offset, q.stride, strip.rows, p.d, p.scale * kLog2E, x.scaled_q);
    pack_tiles<F>({x.scaled_q, p.d}, strip.rows, p.d, x.q + i * q_bytes);
    running.push_back(begin_sums(p, strip, i, x.width, x.max, x.sum, x.out));
    seen.emplace_back(p, s, task.sequence, strip);
    bias.emplace_back(p, s, strip);
    first_key = std::min(first_key, seen[i].first());
    last_key = std::max(last_key, seen[i].last());
  }

  for (int64_t begin = first_key / kKeys * kKeys; begin < last_key; begin += kKeys) {
    const int64_t keys = std::min(kKeys, s.keys - begin);
    const std::byte* block = block_of(p, s, task.kv_head, begin / kKeys, x.block, x.keys_values);
    const auto* k = reinterpret_cast<const typename F::Element*>(block);
    const auto* v = reinterpret_cast<const typename F::Element*>(block + x.block.key_bytes());
    for (int64_t i = 0; i < count; ++i) {
      const int64_t depth = std::min(keys, seen[i].last() - begin);  // beyond, p is 0 in every row
      if (depth <= 0 || seen[i].first() >= begin + keys) continue;
      const int64_t rows = strips[i].rows;
      multiply_tiles<F>(x.q + i * q_bytes, rows, p.d, k, depth, x.scores);
      softmax(bias[i].terms(seen[i].block(begin), begin, cap_of(p), x.pairs), rows,
              round_up(depth, kParts), x.scores, running[i]);
      F::pack_rows({x.scores, kKeys}, rows, 0, depth, x.p_tiles);
      multiply_columns<F>(x.p_tiles, false, rows, depth, true, {v, kKeys, x.width}, running[i].out,
                          x.width);
    }
  }

  for (int64_t i = 0; i < count; ++i) {
    const Rows out = rows_of(p, strips[i], p.dv), row = rows_of(p, strips[i], 1);
    finish(running[i], strips[i].rows,
           {.out = s.out + out.offset,
            .out_stride = out.stride,
            .lse = s.lse ? s.lse + row.offset : nullptr,
            .total = s.total ? s.total + row.offset : nullptr,
            .stride = row.stride});
  }
}

// Pages made for one call: a long sequence packs its keys and values once for all its tasks.
class CallPages {
 public:
  CallPages(Ctx& c, const Problem& p)
      : layout_{p.kv_heads, p.d, p.dv, p.dtype}, pages_(c.pool), memory_(c.pool), jobs_(c.pool) {
    pages_.reserve(p.sequences.size());
    for (const Sequence& s : p.sequences) {
      const bool shared = s.pages == nullptr && strips(p, s) > kTaskStrips;
      const int64_t blocks = shared ? (s.keys + kKeys - 1) / kKeys : 0;
      KvPages& pages = pages_.emplace_back(PoolVector<const std::byte*>(c.pool));
      if (blocks == 0) continue;
      memory_.emplace_back(c.pool->allocate(static_cast<size_t>(blocks * layout_.bytes())));
      for (int64_t b = 0; b < blocks; ++b) {
        std::byte* page = memory_.back().get() + b * layout_.bytes();
        pages.pages.push_back(page);
        const int64_t begin = b * kKeys;
        jobs_.push_back({page,
                         std::min(kKeys, s.keys - begin),
                         {s.kv.k + begin * s.kv.k_stride, s.kv.k_stride,
                          s.kv.v + begin * s.kv.v_stride, s.kv.v_stride}});
      }
    }
    c.team->run_range(static_cast<int64_t>(jobs_.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        pack_block(layout_, jobs_[i].page, jobs_[i].rows, jobs_[i].from);
    });
  }
  // The problem reading them.
  Problem with_pages(Problem p) const {
    for (size_t s = 0; s < pages_.size(); ++s)
      if (!pages_[s].pages.empty()) p.sequences[s].pages = &pages_[s];
    return p;
  }

 private:
  struct Job {
    std::byte* page;
    int64_t rows;
    KvRows from;
  };
  KvLayout layout_;
  PoolVector<KvPages> pages_;
  PoolVector<Buffer> memory_;
  PoolVector<Job> jobs_;
};

template <class F>
void run_all(Ctx& c, const Problem& p) {
  PoolVector<Task> tasks(c.pool);
  for (size_t s = 0; s < p.sequences.size(); ++s) {
    const int64_t n = strips(p, p.sequences[s]);
    for (int64_t h = 0; h < p.kv_heads; ++h)
      for (int64_t i = 0; i < n; i += kTaskStrips)
        tasks.push_back({s, h, i, std::min(n, i + kTaskStrips)});
  }
  const int64_t count = static_cast<int64_t>(tasks.size());
  c.team->run_range(count, piece_of(p, count), [&](int64_t begin, int64_t end) {
    const Memory<F> memory(c, p);
    for (int64_t i = begin; i < end; ++i) run<F>(c, p, tasks[i], memory);
  });
}

}  // namespace

void forward(Ctx& c, const Problem& p) {
  const CallPages pages(c, p);
  with_format(p.dtype, [&](auto format) { run_all<decltype(format)>(c, pages.with_pages(p)); });
}

}  // namespace stemma::tiled
