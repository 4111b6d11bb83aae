// The definition of attention: one sequence after the other, all scores at once, of primitives.
#include <cmath>

#include "ops/attention/call.h"
#include "ops/primitives.h"

namespace stemma {
namespace {

// fn(i, j) for query i and key j of a sequence, [nq,nk].
template <class F>
Tensor each_pair(Ctx& c, int64_t nq, int64_t nk, DType dtype, F&& fn) {
  std::vector<double> values(static_cast<size_t>(nq * nk));
  for (int64_t i = 0; i < nq; ++i)
    for (int64_t j = 0; j < nk; ++j) values[static_cast<size_t>(i * nk + j)] = fn(i, j);
  return cast(c, Tensor::from<double>(c, values, {nq, nk}), dtype);
}

// 1 where query i may see key j.
Tensor seen(Ctx& c, const AttentionCall& p, size_t s) {
  const int64_t nq = p.queries(s), nk = p.keys(s);
  const Bits* bits = seen_bits(p.plan.mask, s);
  return each_pair(c, nq, nk, p.q.dtype(), [&](int64_t i, int64_t j) {
    const Interval interval = seen_interval(p.plan.mask, s, p.position(s, i), nk);
    const bool shown = bits == nullptr || (bits->at(i, j / 64) >> j % 64 & 1) != 0;
    return interval.first <= j && j < interval.last && shown ? 1.0 : 0.0;
  });
}

// The column that an index picks for each pair of sequence s, after first(i, j) columns.
template <class F>
Tensor columns(Ctx& c, const AttentionCall& p, size_t s, const BiasIndex& index, F&& first) {
  const int64_t nq = p.queries(s), nk = p.keys(s);
  const auto* segments = std::get_if<SameSegment>(&index);
  Ints out;
  for (int64_t i = 0; i < nq; ++i)
    for (int64_t j = 0; j < nk; ++j) {
      const int64_t column = segments
                                 ? segments->query[static_cast<size_t>(p.plan.q_start[s] + i)] !=
                                       segments->key[static_cast<size_t>(p.plan.k_start[s] + j)]
                                 : distance_column(index, p.position(s, i) - j);
      out.push_back(static_cast<int32_t>(first(i, j) + column));
    }
  const Tensor flat = Tensor::from(c, out);
  return flat.view({nq, nk}, {nk, 1});
}

// rows [n,H,N] as [n N, H].
Tensor by_column(Ctx& c, const Tensor& rows) {
  return reshape(c, permute(c, rows, {0, 2, 1}), {rows.extent(0) * rows.extent(2), rows.extent(1)});
}

// What a term adds to the scores of sequence s: broadcasts to [H,nq,nk].
Tensor added(Ctx& c, const AttentionCall& p, size_t s, const BiasTerm& term) {
  const int64_t nq = p.queries(s), nk = p.keys(s);
  if (const auto* slopes = std::get_if<Slopes>(&term)) {
    const Tensor distance = each_pair(c, nq, nk, p.q.dtype(), [&](int64_t i, int64_t j) {
      return -std::abs(static_cast<double>(p.position(s, i) - j));
    });
    return mul(c, distance, reshape(c, slopes->slopes, {p.heads(), 1, 1}));
  }
  Tensor table, index;  // [rows,H] and [nq,nk]
  if (const auto* head = std::get_if<HeadTable>(&term)) {
    table = head->table;
    index = columns(c, p, s, head->index, [](int64_t, int64_t) { return 0; });
  } else if (const auto* query = std::get_if<QueryRows>(&term)) {
    const int64_t n = query->rows.extent(2);
    table = by_column(c, slice(c, query->rows, 0, p.plan.q_start[s], p.plan.q_start[s + 1]));
    index = columns(c, p, s, query->index, [n](int64_t i, int64_t) { return i * n; });
  } else {
    const auto& key = std::get<KeyRows>(term);
    const int64_t n = key.rows.extent(2);
    table = by_column(c, slice(c, key.rows, 0, p.plan.k_start[s], p.plan.k_start[s + 1]));
    index = columns(c, p, s, key.index, [n](int64_t, int64_t j) { return j * n; });
  }
  return permute(c, gather(c, table, index), {2, 0, 1});
}

// [n, heads, width] -> [groups, heads / groups * n, width].
Tensor by_group(Ctx& c, const Tensor& x, int64_t groups) {
  return reshape(c, permute(c, x, {1, 0, 2}),
                 {groups, x.extent(1) / groups * x.extent(0), x.extent(2)});
}

// The keys or values of a sequence as rows.
struct KeysAndValues {
  Tensor k, v;
};
KeysAndValues rows_of(Ctx& c, const AttentionCall& p, size_t s) {
  const int64_t begin = p.plan.k_start[s], nk = p.keys(s);
  if (p.pages == nullptr)
    return {slice(c, p.k, 0, begin, begin + nk), slice(c, p.v, 0, begin, begin + nk)};
  const KvLayout& layout = p.pages->layout;
  const KvPages& pages = p.pages->sequences[s];
  // Zeros where a window has left pages behind.
  const Tensor k = Tensor::zeros(c, {nk, layout.kv_heads, layout.d}),
               v = Tensor::zeros(c, {nk, layout.kv_heads, layout.dv});
  for (size_t i = 0; i < pages.pages.size(); ++i) {
    const int64_t at = (pages.first_page + static_cast<int64_t>(i)) * KvLayout::kTokens;
    if (at >= nk) break;
    read(layout, pages.pages[i], 0, std::min(KvLayout::kTokens, nk - at),
         k.data<float>() + at * layout.kv_heads * layout.d,
         v.data<float>() + at * layout.kv_heads * layout.dv);
  }
  return {cast(c, k, p.q.dtype()), cast(c, v, p.q.dtype())};
}

Attended define_sequence(Ctx& c, const AttentionCall& p, size_t s) {
  const int64_t nq = p.queries(s), nk = p.keys(s), heads = p.heads(), groups = p.kv_heads();
  const DType dtype = p.q.dtype();
  const Tensor q = slice(c, p.q, 0, p.plan.q_start[s], p.plan.q_start[s + 1]);
  const Tensor empty = Tensor::scalar(c, -HUGE_VAL, dtype);
  if (nq == 0 || nk == 0) {
    const Tensor lse = p.sink ? reshape(c, p.sink, {1, heads}) : empty;
    return {Tensor::zeros(c, {nq, heads, p.value_width()}, dtype),
            broadcast_to(c, lse, {nq, heads})};
  }
  const auto [k, v] = rows_of(c, p, s);
  Tensor scores = matmul(c, by_group(c, q, groups), transpose(c, by_group(c, k, groups), 1, 2));
  scores = mul(c, reshape(c, scores, {heads, nq, nk}), p.scale());
  for (size_t i = 0; i < p.plan.bias.size(); ++i)
    scores = add(c, scores, added(c, p, s, p.bias(i)));
  if (const double cap = p.plan.softcap; cap != 0)
    scores = mul(c, tanh(c, mul(c, scores, 1 / cap)), cap);

  const Tensor visible = seen(c, p, s);  // [nq,nk]
  const Tensor lowest = Tensor::scalar(c, -1e30, dtype);
  Tensor top = max(c, where(c, visible, scores, lowest), 2);
  const Tensor sink = p.sink ? reshape(c, p.sink, {heads, 1, 1}) : Tensor();
  if (sink) top = maximum(c, top, sink);
  // Masked before exp, so that no infinity meets the mask's zero.
  const Tensor e = mul(c, exp(c, where(c, visible, sub(c, scores, top), lowest)), visible);
  Tensor total = sum(c, e, 2);
  // A row that sees nothing has e = 0 throughout: it divides by 1 and gives 0.
  const Tensor sees = max(c, visible, 1);
  total =
      sink ? add(c, total, exp(c, sub(c, sink, top))) : add(c, total, add(c, neg(c, sees), 1.0));
  const Tensor weights = reshape(c, div(c, e, total), {groups, heads / groups * nq, nk});
  const Tensor mixed =
      reshape(c, matmul(c, weights, by_group(c, v, groups)), {heads, nq, p.value_width()});
  Tensor lse = add(c, top, log(c, total));
  if (!sink) lse = where(c, sees, lse, empty);
  return {permute(c, mixed, {1, 0, 2}), permute(c, reshape(c, lse, {heads, nq}), {1, 0})};
}

}  // namespace

void define_attention(Ctx& c, AttentionCall& p) {
  std::vector<Tensor> outs, lses;
  for (size_t s = 0; s < p.sequences(); ++s) {
    const Attended part = define_sequence(c, p, s);
    outs.push_back(part.out);
    lses.push_back(part.lse);
  }
  p.out = concat(c, outs, 0);
  if (p.with_lse) p.lse = concat(c, lses, 0);
}

}  // namespace stemma
