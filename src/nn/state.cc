#include "nn/state.h"

#include <algorithm>

#include "ops/primitives.h"

namespace stemma {
namespace {

constexpr int64_t kTokens = KvLayout::kTokens;

void add_rows(const Offsets& start, const Tensor& k, const Tensor& v, const KvState& state) {
  const KvLayout& layout = state.kv.layout;
  const int64_t k_row = k.strides()[0], v_row = v.strides()[0];
  for (size_t s = 0; s < state.open.size(); ++s) {
    int64_t at = state.past[s] % kTokens;  // from the first open page on
    for (int64_t row = start[s]; row < start[s + 1];) {
      const int64_t count = std::min(kTokens - at % kTokens, start[s + 1] - row);
      append(layout, state.open[s][static_cast<size_t>(at / kTokens)], at % kTokens, count,
             {k.data<float>() + row * k_row, k_row, v.data<float>() + row * v_row, v_row});
      at += count, row += count;
    }
  }
}

// The first `count` rows of a sequence as tensors, zero where pages have been forgotten.
std::pair<Tensor, Tensor> rows_of(Ctx& c, const KvState& state, size_t s, int64_t count) {
  const KvLayout& layout = state.kv.layout;
  const Tensor k = Tensor::zeros(c, {count, layout.kv_heads, layout.d}),
               v = Tensor::zeros(c, {count, layout.kv_heads, layout.dv});
  const KvPages& held = state.kv.sequences[s];
  for (int64_t at = held.first_page * kTokens; at < count; at += kTokens)
    read(layout, held.pages[static_cast<size_t>(at / kTokens - held.first_page)], 0,
         std::min(kTokens, count - at), k.data<float>() + at * layout.kv_heads * layout.d,
         v.data<float>() + at * layout.kv_heads * layout.dv);
  return {k, v};
}

}  // namespace

Tensor attention(Ctx& c, const Tensor& q, const Tensor& k, const Tensor& v, const KvState& state,
                 AttentionPlan plan) {
  const Offsets start = plan.k_start;  // of the rows that this batch brings
  if (!state.shared && k) add_rows(start, with_dense_heads(c, k), with_dense_heads(c, v), state);
  for (size_t s = 0; s < state.past.size(); ++s)
    plan.k_start[s + 1] = plan.k_start[s] + state.past[s] + start[s + 1] - start[s];

  if (recording(c, {q, k, v})) {
    check(!state.shared, "[state] keys and values of another layer have no gradient under a tape");
    // Rows of earlier forwards are constants; this batch's take their gradients.
    std::vector<Tensor> keys, values;
    for (size_t s = 0; s < state.past.size(); ++s) {
      const auto [old_k, old_v] = rows_of(c, state, s, state.past[s]);
      keys.push_back(old_k), values.push_back(old_v);
      if (!k) continue;
      keys.push_back(slice(c, k, 0, start[s], start[s + 1]));
      values.push_back(slice(c, v, 0, start[s], start[s + 1]));
    }
    return attention(c, q, concat(c, keys, 0), concat(c, values, 0), plan);
  }
  return attention(c, q, state.kv, plan);
}

}  // namespace stemma
