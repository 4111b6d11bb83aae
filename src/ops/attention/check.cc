// What a call of attention must fit.
#include <algorithm>

#include "ops/attention/call.h"

namespace stemma {
namespace {

void check_offsets(const char* name, std::span<const int32_t> start, int64_t rows) {
  check(!start.empty() && start.front() == 0 && std::is_sorted(start.begin(), start.end()) &&
            (rows < 0 || start.back() == rows),
        "[attention] ", name, " must ascend from 0 to the number of rows, ", rows);
}

void check_rows(const AttentionCall& p) {
  const Tensor &q = p.q, &k = p.k, &v = p.v;
  check(q.rank() == 3 && k.rank() == 3 && v.rank() == 3 && k.extent(0) == v.extent(0) &&
            k.extent(1) == v.extent(1) && q.extent(2) == k.extent(2) && k.extent(1) > 0 &&
            k.extent(2) > 0 && q.extent(1) % k.extent(1) == 0,
        "[attention] q ", q.shape().to_string(), ", k ", k.shape().to_string(), " and v ",
        v.shape().to_string(), " do not fit; they must be [Tq,H,D], [Tk,Hk,D], [Tk,Hk,Dv]");
  check(q.dtype() == k.dtype() && q.dtype() == v.dtype(), "[attention] q, k and v are ",
        dtype_name(q.dtype()), ", ", dtype_name(k.dtype()), " and ", dtype_name(v.dtype()),
        "; they must share a dtype");
}

// The first page that any query of sequence s reads.
int64_t first_page(const AttentionCall& p, size_t s) {
  int64_t first = p.keys(s);
  for (int64_t i = 0; i < p.queries(s); ++i)
    first = std::min(first, seen_interval(p.plan.mask, s, p.position(s, i), p.keys(s)).first);
  return std::max<int64_t>(0, first) / KvLayout::kTokens;
}

void check_pages(const AttentionCall& p) {
  const Tensor& q = p.q;
  const KvLayout& l = p.pages->layout;
  check(q.rank() == 3 && q.extent(2) == l.d && l.kv_heads > 0 && q.extent(1) % l.kv_heads == 0,
        "[attention] q ", q.shape().to_string(), " does not fit pages of ", l.kv_heads,
        " key heads of width ", l.d, "; it must be [Tq,H,D]");
  check(p.pages->sequences.size() == p.sequences(), "[attention] pages of ",
        p.pages->sequences.size(), " sequences; the plan has ", p.sequences());
  for (size_t s = 0; s < p.sequences(); ++s) {
    const KvPages& pages = p.pages->sequences[s];
    const int64_t end = pages.first_page + static_cast<int64_t>(pages.pages.size());
    check(end * KvLayout::kTokens >= p.keys(s), "[attention] sequence ", s, " has ", p.keys(s),
          " keys; its pages end at ", end * KvLayout::kTokens);
    check(p.queries(s) == 0 || pages.first_page <= first_page(p, s), "[attention] sequence ", s,
          " sees keys from page ", first_page(p, s), " on; its pages begin with ",
          pages.first_page);
  }
}

void check_mask(const AttentionCall& p) {
  int bitmaps = 0;
  for (const MaskPart& part : p.plan.mask) {
    if (const auto* prefix = std::get_if<Prefix>(&part))
      check(prefix->lengths.size() == p.sequences(), "[attention] ", prefix->lengths.size(),
            " prefixes for ", p.sequences(), " sequences");
    if (const auto* chunked = std::get_if<Chunked>(&part))
      check(chunked->size > 0, "[attention] chunks of ", chunked->size, " keys");
    if (const auto* bitmap = std::get_if<Bitmap>(&part)) {
      const std::vector<Bits>& bits = *bitmap->sequences;
      check(++bitmaps == 1, "[attention] a mask may have one bitmap; intersect them beforehand");
      check(bits.size() == p.sequences(), "[attention] bitmaps of ", bits.size(), " for ",
            p.sequences(), " sequences");
      for (size_t s = 0; s < bits.size(); ++s)
        check(bits[s].queries() == p.queries(s) && bits[s].keys() == p.keys(s),
              "[attention] the bitmap of sequence ", s, " is ", bits[s].queries(), " x ",
              bits[s].keys(), "; it must be ", p.queries(s), " x ", p.keys(s));
    }
  }
}

void check_bias(const AttentionCall& p) {
  const int64_t tq = p.plan.q_start.back(), tk = p.plan.k_start.back(), heads = p.heads();
  for (size_t i = 0; i < p.plan.bias.size(); ++i) {
    const BiasTerm term = p.bias(i);
    const BiasIndex* index = bias_index(term);
    const int64_t n = index ? index_columns(*index) : 1;
    const Shape shape = std::holds_alternative<HeadTable>(term)   ? Shape{n, heads}
                        : std::holds_alternative<Slopes>(term)    ? Shape{heads}
                        : std::holds_alternative<QueryRows>(term) ? Shape{tq, heads, n}
                                                                  : Shape{tk, heads, n};
    const Tensor& values = bias_values(term);
    check(values && values.shape() == shape && values.dtype() == p.q.dtype(), "[attention] bias ",
          i, " is ", values.shape().to_string(), "; it must be ", shape.to_string(), " and ",
          dtype_name(p.q.dtype()));
    if (const auto* segments = index ? std::get_if<SameSegment>(index) : nullptr)
      check(static_cast<int64_t>(segments->query.size()) == tq &&
                static_cast<int64_t>(segments->key.size()) == tk,
            "[attention] segments of ", segments->query.size(), " queries and ",
            segments->key.size(), " keys; there are ", tq, " and ", tk);
    if (const auto* bucket = index ? std::get_if<T5Bucket>(index) : nullptr)
      check(bucket->buckets >= 4 && bucket->max_distance > bucket->buckets / 2, "[attention] ",
            bucket->buckets, " buckets up to distance ", bucket->max_distance);
    if (const auto* log = index ? std::get_if<LogBucket>(index) : nullptr)
      check(log->buckets >= 4 && log->max_distance - 1 > log->buckets / 2, "[attention] ",
            log->buckets, " buckets up to distance ", log->max_distance);
  }
}

}  // namespace

void check_attention(const AttentionCall& p) {
  const AttentionPlan& plan = p.plan;
  check(plan.q_start.size() == plan.k_start.size(), "[attention] ", plan.q_start.size(),
        " query offsets and ", plan.k_start.size(), " key offsets; both must be sequences + 1");
  if (p.pages == nullptr) check_rows(p);
  check_offsets("q_start", plan.q_start, p.q.extent(0));
  check_offsets("k_start", plan.k_start, p.pages ? -1 : p.k.extent(0));
  check(plan.q_position.empty() || static_cast<int64_t>(plan.q_position.size()) == p.q.extent(0),
        "[attention] positions of ", plan.q_position.size(), " queries; there are ", p.q.extent(0));
  for (size_t s = 0; !plan.q_position.empty() && s < p.sequences(); ++s)
    for (int64_t i = 0; i < p.queries(s); ++i)
      check(0 <= p.position(s, i) && p.position(s, i) < p.keys(s), "[attention] query ", i,
            " of sequence ", s, " stands at position ", p.position(s, i), " of ", p.keys(s),
            " keys");
  check_mask(p);
  if (p.pages) check_pages(p);
  check_bias(p);
  check(!p.sink || (p.sink.shape() == Shape{p.heads()} && p.sink.dtype() == p.q.dtype()),
        "[attention] the sink is ", p.sink.shape().to_string(), "; it must be [", p.heads(), "]");
  check(plan.softcap >= 0, "[attention] softcap ", plan.softcap, "; it must be 0 (none) or more");
}

}  // namespace stemma
