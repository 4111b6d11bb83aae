#include "ops/attention/attention.h"

#include <algorithm>
#include <cmath>

#include "ops/attention/tiled.h"
#include "ops/primitives.h"

namespace stemma {
namespace tiled {

int64_t strips(const Problem& p, const Sequence& s) {
  const int64_t per_head = (s.queries + kStrip - 1) / kStrip;
  return s.queries == 1 ? (p.group() + kStrip - 1) / kStrip : per_head * p.group();
}

Strip strip(const Problem& p, const Sequence& s, int64_t kv_head, int64_t index) {
  const int64_t head = kv_head * p.group();
  if (s.queries == 1) {
    const int64_t first = index * kStrip;
    return {head + first, 0, std::min(kStrip, p.group() - first), true};
  }
  const int64_t query = index / p.group() * kStrip;
  return {head + index % p.group(), query, std::min(kStrip, s.queries - query), false};
}

}  // namespace tiled

namespace {

void check_offsets(const char* name, const Ints& start, int64_t rows) {
  check(!start.empty() && start.front() == 0 && std::is_sorted(start.begin(), start.end()) &&
            (rows < 0 || start.back() == rows),
        "[attention] ", name, " must ascend from 0 to the number of rows, ", rows);
}

void check_shapes(const Tensor& q, const Tensor& k, const Tensor& v) {
  check(q.rank() == 3 && k.rank() == 3 && v.rank() == 3 && k.extent(0) == v.extent(0) &&
            k.extent(1) == v.extent(1) && q.extent(2) == k.extent(2) && k.extent(1) > 0 &&
            k.extent(2) > 0 && q.extent(1) % k.extent(1) == 0,
        "[attention] q ", q.shape().to_string(), ", k ", k.shape().to_string(), " and v ",
        v.shape().to_string(), " do not fit; they must be [Tq,H,D], [Tk,Hk,D], [Tk,Hk,Dv]");
  check(q.dtype() == k.dtype() && q.dtype() == v.dtype(), "[attention] q, k and v are ",
        dtype_name(q.dtype()), ", ", dtype_name(k.dtype()), " and ", dtype_name(v.dtype()),
        "; they must share a dtype");
}

void check_plan(const AttentionPlan& plan) {
  check(plan.q_start.size() == plan.k_start.size(), "[attention] ", plan.q_start.size(),
        " query offsets and ", plan.k_start.size(), " key offsets; both must be sequences + 1");
  check(plan.window >= 0, "[attention] window ", plan.window, "; it must be 0 (none) or more");
}

// Whether any sequence has both a query and a key; where none has, the result is a constant zero.
bool any_pair(const AttentionPlan& plan) {
  for (size_t s = 0; s + 1 < plan.q_start.size(); ++s)
    if (plan.q_start[s] < plan.q_start[s + 1] && plan.k_start[s] < plan.k_start[s + 1]) return true;
  return false;
}

double scale_of(const AttentionPlan& plan, const Tensor& q) {
  return plan.scale != 0 ? static_cast<double>(plan.scale)
                         : 1 / std::sqrt(static_cast<double>(q.extent(2)));
}

// ---- The definition: one sequence after the other, all scores at once.

// 1 where query i may see key j, [nq, nk].
Tensor mask(Ctx& c, const AttentionPlan& plan, int64_t nq, int64_t nk, DType dtype) {
  std::vector<double> m(static_cast<size_t>(nq * nk));
  for (int64_t i = 0; i < nq; ++i)
    for (int64_t j = 0; j < nk; ++j) {
      const int64_t position = nk - nq + i;
      m[i * nk + j] =
          (!plan.causal || j <= position) && (plan.window == 0 || j > position - plan.window);
    }
  return cast(c, Tensor::from<double>(c, m, {nq, nk}), dtype);
}

// [n, heads, width] -> [groups, heads / groups * n, width].
Tensor by_group(Ctx& c, const Tensor& x, int64_t groups) {
  return reshape(c, permute(c, x, {1, 0, 2}),
                 {groups, x.extent(1) / groups * x.extent(0), x.extent(2)});
}

Tensor define_sequence(Ctx& c, const Tensor& q, const Tensor& k, const Tensor& v,
                       const AttentionPlan& plan) {
  const int64_t nq = q.extent(0), nk = k.extent(0), heads = q.extent(1), groups = k.extent(1);
  if (nq == 0 || nk == 0) return Tensor::zeros(c, {nq, heads, v.extent(2)}, q.dtype());
  const Tensor seen = mask(c, plan, nq, nk, q.dtype());
  const Tensor visible =  // for each of a group's heads
      reshape(c, broadcast_to(c, seen, {heads / groups, nq, nk}), {heads / groups * nq, nk});
  Tensor scores = matmul(c, by_group(c, q, groups), transpose(c, by_group(c, k, groups), 1, 2));
  scores = mul(c, scores, scale_of(plan, q));
  const Tensor lowest = Tensor::scalar(c, -1e30, q.dtype());
  const Tensor top = max(c, where(c, visible, scores, lowest), 2);
  // Masked before exp, so that no infinity meets the mask's zero.
  const Tensor e = mul(c, exp(c, where(c, visible, sub(c, scores, top), lowest)), visible);
  // A row that sees nothing has e = 0 throughout: it divides by 1 and gives 0.
  const Tensor sees = max(c, visible, 1);
  const Tensor total = add(c, sum(c, e, 2), add(c, neg(c, sees), 1.0));
  const Tensor out = matmul(c, div(c, e, total), by_group(c, v, groups));
  return permute(c, reshape(c, out, {heads, nq, v.extent(2)}), {1, 0, 2});
}

Tensor define(Ctx& c, const Tensor& q, const std::vector<Tensor>& keys,
              const std::vector<Tensor>& values, const AttentionPlan& plan) {
  std::vector<Tensor> parts;
  for (size_t s = 0; s < keys.size(); ++s)
    parts.push_back(define_sequence(c, slice(c, q, 0, plan.q_start[s], plan.q_start[s + 1]),
                                    keys[s], values[s], plan));
  return concat(c, parts, 0);
}

// ---- The kernel.

struct Operands {
  Tensor q, k, v, out, lse;  // contiguous; lse [Tq,H], undefined where no gradient is wanted
};

tiled::Problem problem(const AttentionPlan& plan, const Tensor& q, int64_t kv_heads, int64_t dv) {
  return {.heads = q.extent(1),
          .kv_heads = kv_heads,
          .d = q.extent(2),
          .dv = dv,
          .causal = plan.causal,
          .window = plan.window,
          .scale = static_cast<float>(scale_of(plan, q)),
          .sequences = {}};
}

tiled::Problem problem(const AttentionPlan& plan, const Operands& x) {
  tiled::Problem p = problem(plan, x.q, x.k.extent(1), x.v.extent(2));
  for (size_t s = 0; s + 1 < plan.q_start.size(); ++s) {
    const int64_t q = plan.q_start[s], k = plan.k_start[s];
    p.sequences.push_back({.queries = plan.q_start[s + 1] - q,
                           .keys = plan.k_start[s + 1] - k,
                           .q = x.q.data<float>() + q * p.heads * p.d,
                           .k = x.k.data<float>() + k * p.kv_heads * p.d,
                           .v = x.v.data<float>() + k * p.kv_heads * p.dv,
                           .pages = nullptr,
                           .out = x.out.data<float>() + q * p.heads * p.dv,
                           .lse = x.lse ? x.lse.data<float>() + q * p.heads : nullptr});
  }
  return p;
}

void backward(Ctx& c, const AttentionPlan& plan, const Operands& x, const Tensor& dout,
              Grads& grads) {
  const Tensor d = contiguous(c, dout);
  const auto into = [&](const Tensor& t) {
    return grads.wants(t) ? grads.into(c, t).data<float>() : nullptr;
  };
  float *dq = into(x.q), *dk = into(x.k), *dv = into(x.v);
  const tiled::Problem p = problem(plan, x);
  std::vector<tiled::Gradients> gradients;
  for (size_t s = 0; s + 1 < plan.q_start.size(); ++s) {
    const int64_t q = plan.q_start[s], k = plan.k_start[s];
    gradients.push_back({.dout = d.data<float>() + q * p.heads * p.dv,
                         .dq = dq ? dq + q * p.heads * p.d : nullptr,
                         .dk = dk ? dk + k * p.kv_heads * p.d : nullptr,
                         .dv = dv ? dv + k * p.kv_heads * p.dv : nullptr});
  }
  tiled::backward(c, p, gradients);
}

}  // namespace

Tensor attention(Ctx& c, const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionPlan& plan) {
  check_shapes(q, k, v);
  check_plan(plan);
  check_offsets("q_start", plan.q_start, q.extent(0));
  check_offsets("k_start", plan.k_start, k.extent(0));
  const Shape shape{q.extent(0), q.extent(1), v.extent(2)};
  if (!any_pair(plan)) return Tensor::zeros(c, shape, q.dtype());
  if (!c.kernels || q.dtype() != DType::f32) {
    std::vector<Tensor> keys, values;
    for (size_t s = 0; s + 1 < plan.k_start.size(); ++s) {
      keys.push_back(slice(c, k, 0, plan.k_start[s], plan.k_start[s + 1]));
      values.push_back(slice(c, v, 0, plan.k_start[s], plan.k_start[s + 1]));
    }
    return define(c, q, keys, values, plan);
  }
  const bool record = recording(c, {q, k, v});
  const Operands x{contiguous(c, q), contiguous(c, k), contiguous(c, v), Tensor::empty(c, shape),
                   record ? Tensor::empty(c, {q.extent(0), q.extent(1)}) : Tensor()};
  tiled::forward(c, problem(plan, x));
  if (record)
    c.tape->record("attention", {x.out}, [plan, x](Ctx& c, std::span<const Tensor> d, Grads& g) {
      backward(c, plan, x, d[0], g);
    });
  return x.out;
}

Tensor attention(Ctx& c, const Tensor& q, const std::vector<Tensor>& keys,
                 const std::vector<Tensor>& values, const AttentionPlan& plan) {
  check_plan(plan);
  check_offsets("q_start", plan.q_start, q.extent(0));
  check_offsets("k_start", plan.k_start, -1);
  check(keys.size() + 1 == plan.k_start.size() && values.size() == keys.size() && !keys.empty(),
        "[attention] keys of ", keys.size(), " and values of ", values.size(),
        " sequences; the plan has ", plan.k_start.size() - 1, ", and one at least is needed");
  for (size_t s = 0; s < keys.size(); ++s) {
    const int64_t n = plan.k_start[s + 1] - plan.k_start[s];
    check_shapes(q, keys[s], values[s]);
    check(keys[s].extent(0) >= n && keys[s].extent(1) == keys[0].extent(1) &&
              values[s].extent(2) == values[0].extent(2),
          "[attention] sequence ", s, " reads ", n, " keys of ", keys[s].shape().to_string(),
          " with values ", values[s].shape().to_string());
  }
  if (!c.kernels || q.dtype() != DType::f32) {
    std::vector<Tensor> k, v;
    for (size_t s = 0; s < keys.size(); ++s) {
      const int64_t n = plan.k_start[s + 1] - plan.k_start[s];
      k.push_back(slice(c, keys[s], 0, 0, n));
      v.push_back(slice(c, values[s], 0, 0, n));
    }
    return define(c, q, k, v, plan);
  }
  const Tensor rows = contiguous(c, q);
  const Tensor out = Tensor::empty(c, {q.extent(0), q.extent(1), values[0].extent(2)});
  tiled::Problem p = problem(plan, rows, keys[0].extent(1), values[0].extent(2));
  for (size_t s = 0; s < keys.size(); ++s) {
    check(keys[s].contiguous() && values[s].contiguous(),
          "[attention] the keys and values of sequence ", s, " must be contiguous");
    const int64_t at = plan.q_start[s];
    p.sequences.push_back({.queries = plan.q_start[s + 1] - at,
                           .keys = plan.k_start[s + 1] - plan.k_start[s],
                           .q = rows.data<float>() + at * p.heads * p.d,
                           .k = keys[s].data<float>(),
                           .v = values[s].data<float>(),
                           .pages = nullptr,
                           .out = out.data<float>() + at * p.heads * p.dv,
                           .lse = nullptr});
  }
  tiled::forward(c, p);
  return out;
}

namespace {

// The first position that any query of sequence s sees, down to a whole page.
int64_t first_needed_page(const AttentionPlan& plan, size_t s) {
  const int64_t queries = plan.q_start[s + 1] - plan.q_start[s];
  const int64_t keys = plan.k_start[s + 1] - plan.k_start[s];
  if (plan.window == 0) return 0;
  return std::max<int64_t>(0, keys - queries - plan.window + 1) / KvLayout::kTokens;
}

void check_pages(const Tensor& q, const PagedKv& kv, const AttentionPlan& plan) {
  const KvLayout& l = kv.layout;
  check(q.rank() == 3 && q.dtype() == DType::f32 && q.extent(2) == l.d && l.kv_heads > 0 &&
            q.extent(1) % l.kv_heads == 0,
        "[attention] q ", dtype_name(q.dtype()), " ", q.shape().to_string(),
        " does not fit pages of ", l.kv_heads, " key heads of width ", l.d,
        "; it must be F32 [Tq,H,D]");
  check(kv.sequences.size() + 1 == plan.k_start.size(), "[attention] pages of ",
        kv.sequences.size(), " sequences; the plan has ", plan.k_start.size() - 1);
  for (size_t s = 0; s < kv.sequences.size(); ++s) {
    const KvPages& pages = kv.sequences[s];
    const int64_t end = pages.first_page + static_cast<int64_t>(pages.pages.size());
    const int64_t keys = plan.k_start[s + 1] - plan.k_start[s];
    check(end * KvLayout::kTokens >= keys, "[attention] sequence ", s, " has ", keys,
          " keys; its pages end at ", end * KvLayout::kTokens);
    check(plan.q_start[s] == plan.q_start[s + 1] || pages.first_page <= first_needed_page(plan, s),
          "[attention] sequence ", s, " sees keys from page ", first_needed_page(plan, s),
          " on; its pages begin with ", pages.first_page);
  }
}

// All positions of a sequence as rows, zeros where pages are missing.
void read_all(Ctx& c, const KvLayout& layout, const KvPages& pages, int64_t keys,
              std::vector<Tensor>& k, std::vector<Tensor>& v) {
  k.push_back(Tensor::zeros(c, {keys, layout.kv_heads, layout.d}));
  v.push_back(Tensor::zeros(c, {keys, layout.kv_heads, layout.dv}));
  for (size_t i = 0; i < pages.pages.size(); ++i) {
    const int64_t at = (pages.first_page + static_cast<int64_t>(i)) * KvLayout::kTokens;
    if (at >= keys) return;
    read(layout, pages.pages[i], 0, std::min(KvLayout::kTokens, keys - at),
         k.back().data<float>() + at * layout.kv_heads * layout.d,
         v.back().data<float>() + at * layout.kv_heads * layout.dv);
  }
}

}  // namespace

Tensor attention(Ctx& c, const Tensor& q, const PagedKv& kv, const AttentionPlan& plan) {
  check_plan(plan);
  check_offsets("q_start", plan.q_start, q.extent(0));
  check_offsets("k_start", plan.k_start, -1);
  check_pages(q, kv, plan);
  const KvLayout& layout = kv.layout;
  if (!any_pair(plan)) return Tensor::zeros(c, {q.extent(0), q.extent(1), layout.dv});
  if (!c.kernels || layout.dtype != DType::f32) {
    std::vector<Tensor> k, v;
    for (size_t s = 0; s < kv.sequences.size(); ++s)
      read_all(c, layout, kv.sequences[s], plan.k_start[s + 1] - plan.k_start[s], k, v);
    return define(c, q, k, v, plan);
  }
  const Tensor rows = contiguous(c, q);
  const Tensor out = Tensor::empty(c, {q.extent(0), q.extent(1), layout.dv});
  tiled::Problem p = problem(plan, rows, layout.kv_heads, layout.dv);
  for (size_t s = 0; s < kv.sequences.size(); ++s) {
    const int64_t at = plan.q_start[s];
    p.sequences.push_back({.queries = plan.q_start[s + 1] - at,
                           .keys = plan.k_start[s + 1] - plan.k_start[s],
                           .q = rows.data<float>() + at * p.heads * p.d,
                           .k = nullptr,
                           .v = nullptr,
                           .pages = &kv.sequences[s],
                           .out = out.data<float>() + at * p.heads * p.dv,
                           .lse = nullptr});
  }
  tiled::forward(c, p);
  return out;
}

}  // namespace stemma
