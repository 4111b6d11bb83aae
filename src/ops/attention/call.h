// A call of attention as its definition and its kernels see it.
#pragma once

#include "ops/attention/attention.h"
#include "ops/case.h"

namespace stemma {

struct AttentionCall {
  Tensor q, k = {}, v = {};  // k and v undefined where there are pages
  AttentionPlan plan;
  const PagedKv* pages = nullptr;
  bool with_lse = false;
  DType dtype = DType::f32;  // that keys, values and probabilities are multiplied in
  Tensor sink = {}, bias0 = {}, bias1 = {}, bias2 = {};  // what the plan holds
  Tensor out = {}, lse = {};
  Tensor total = {};  // [Tq,H]: lse to base 2, for the backward kernels

  size_t sequences() const { return plan.q_start.size() - 1; }
  int64_t queries(size_t s) const { return plan.q_start[s + 1] - plan.q_start[s]; }
  int64_t keys(size_t s) const { return plan.k_start[s + 1] - plan.k_start[s]; }
  // Where a query of sequence s, `i` counted within it, stands among the keys.
  int64_t position(size_t s, int64_t i) const {
    return plan.q_position.empty() ? keys(s) - queries(s) + i
                                   : plan.q_position[static_cast<size_t>(plan.q_start[s] + i)];
  }
  int64_t heads() const { return q.extent(1); }
  int64_t kv_heads() const { return pages ? pages->layout.kv_heads : k.extent(1); }
  int64_t value_width() const { return pages ? pages->layout.dv : v.extent(2); }
  double scale() const;
  // Term i of the plan's bias, with the call's own tensor.
  BiasTerm bias(size_t i) const;
};

// One sequence after the other, all scores at once: see define.cc.
void define_attention(Ctx& c, AttentionCall& p);

std::vector<OpCase> attention_cases();

// Errors: shapes, offsets, masks or biases that do not fit.
void check_attention(const AttentionCall& p);

}  // namespace stemma
