#include "ops/attention/attention.h"

#include <algorithm>
#include <cmath>

#include "ops/attention/call.h"
#include "ops/attention/lines.h"
#include "ops/attention/tiled.h"
#include "ops/op.h"

namespace stemma {
namespace {

// Whether any sequence has both a query and a key; where none has, the result is a constant zero.
bool any_pair(const AttentionCall& p) {
  for (size_t s = 0; s < p.sequences(); ++s)
    if (p.queries(s) > 0 && p.keys(s) > 0) return true;
  return false;
}

// ---- The tiled kernels.

const char* why_not_tiled(const AttentionCall& p) {
  if (p.q.dtype() != DType::f32) return "its operands are F32";
  return tiled::BiasLines::why_not(p);
}
const char* why_not_f32(const AttentionCall& p) {
  return p.dtype != DType::f32 ? "the call's products are not in F32" : why_not_tiled(p);
}
const char* why_not_bf16(const AttentionCall& p) {
  return p.dtype != DType::bf16 ? "the call's products are not in BF16" : why_not_tiled(p);
}

tiled::Problem problem(Ctx& c, const AttentionCall& p, const tiled::BiasLines& lines) {
  const int64_t heads = p.heads(), dv = p.value_width();
  tiled::Problem problem{
      .heads = heads,
      .kv_heads = p.kv_heads(),
      .d = p.q.extent(2),
      .dv = dv,
      .q_stride = p.q.strides()[0],
      .scale = static_cast<float>(p.scale()),
      .cap = p.plan.softcap,
      .dtype = p.dtype,
      .mask = &p.plan.mask,
      .distance_bias = lines.distance(),
      .key_bias = lines.key(),
      .pair_bias = lines.pairs(),
      .sink = p.sink ? p.sink.data<float>() : nullptr,
      .sequences = PoolVector<tiled::Sequence>(c.pool),
  };
  problem.sequences.reserve(p.sequences());
  for (size_t s = 0; s < p.sequences(); ++s) {
    const int64_t q = p.plan.q_start[s], k = p.plan.k_start[s];
    const auto rows = [](const Tensor& t, int64_t at) {
      return t ? t.data<float>() + at : nullptr;
    };
    KvRows kv;
    if (p.k)
      kv = {rows(p.k, k * p.k.strides()[0]), p.k.strides()[0],  //
            rows(p.v, k * p.v.strides()[0]), p.v.strides()[0]};
    problem.sequences.push_back(
        {.queries = p.queries(s),
         .keys = p.keys(s),
         .q = rows(p.q, q * p.q.strides()[0]),
         .kv = kv,
         .pages = p.pages ? &p.pages->sequences[s] : nullptr,
         .out = rows(p.out, q * heads * dv),
         .lse = rows(p.lse, q * heads),
         .total = rows(p.total, q * heads),
         .first_query = q,
         .first_key = k,
         .positions = p.plan.q_position.empty() ? nullptr : p.plan.q_position.data() + q});
  }
  return problem;
}

void forward(Ctx& c, AttentionCall& p, bool keep) {
  p.out = Tensor::empty(c, {p.q.extent(0), p.heads(), p.value_width()});
  if (p.with_lse) p.lse = Tensor::empty(c, {p.q.extent(0), p.heads()});
  if (keep) p.total = Tensor::empty(c, {p.q.extent(0), p.heads()});
  const tiled::BiasLines lines(c, p);
  tiled::forward(c, problem(c, p, lines));
}

// Where gradients of q, k and v are added up. One tensor may be several operands; its parts are
// written at the same time, so all but the first have memory of their own.
class Targets {
 public:
  Targets(Ctx& c, Grads& g) : c_(c), g_(g), seen_(c.pool), later_(c.pool) {}
  float* of(const Tensor& x) {
    if (!g_.wants(x)) return nullptr;
    const bool again = std::find(seen_.begin(), seen_.end(), x.id()) != seen_.end();
    seen_.push_back(x.id());
    if (!again) return g_.into(c_, x).data<float>();
    const Tensor own = Tensor::zeros(c_, x.shape());
    later_.emplace_back(x, own);
    return own.data<float>();
  }
  void done() {
    for (const auto& [x, own] : later_) g_.add(c_, x, own);
  }

 private:
  Ctx& c_;
  Grads& g_;
  PoolVector<uint64_t> seen_;
  PoolVector<std::pair<Tensor, Tensor>> later_;
};

// d: of out and of log-sum-exp.
void backward(Ctx& c, const AttentionCall& p, std::span<const Tensor> d, Grads& g) {
  const Tensor dout = d[0] ? contiguous(c, d[0]) : Tensor::zeros(c, p.out.shape());
  const Tensor dlse = d.size() > 1 && d[1] ? contiguous(c, d[1]) : Tensor();
  const int64_t heads = p.heads(), dv = p.value_width();
  Targets targets(c, g);
  float *to_q = targets.of(p.q), *to_k = targets.of(p.k), *to_v = targets.of(p.v);
  PoolVector<tiled::Gradients> gradients(c.pool);
  gradients.reserve(p.sequences());
  for (size_t s = 0; s < p.sequences(); ++s) {
    const int64_t q = p.plan.q_start[s], k = p.plan.k_start[s];
    gradients.push_back({.dout = dout.data<float>() + q * heads * dv,
                         .dlse = dlse ? dlse.data<float>() + q * heads : nullptr,
                         .out = p.out.data<float>() + q * heads * dv,
                         .dq = to_q ? to_q + q * heads * p.q.extent(2) : nullptr,
                         .dk = to_k ? to_k + k * p.kv_heads() * p.k.extent(2) : nullptr,
                         .dv = to_v ? to_v + k * p.kv_heads() * dv : nullptr});
  }
  const tiled::BiasLines lines(c, p);
  const Tensor distance = lines.distance_gradient(c, p, g), key = lines.key_gradient(c, p, g);
  const Tensor sink = g.wants(p.sink) ? g.into(c, p.sink) : Tensor();
  const auto floats = [](const Tensor& t) { return t ? t.data<float>() : nullptr; };
  tiled::SharedGradients shared{floats(distance), floats(key), floats(sink), {}};
  lines.set_pair_gradients(c, p, g, shared);
  tiled::backward(c, problem(c, p, lines), gradients, shared);
  targets.done();
  lines.add_gradients(c, p, distance, key, g);
}

std::optional<PackedOperand> pages(const AttentionCall& p) {
  if (!p.pages) return std::nullopt;
  const KvLayout& layout = p.pages->layout;
  const Shape shape{p.plan.k_start.back(), layout.kv_heads, layout.d + layout.dv};
  return PackedOperand{dtype_name(layout.dtype), shape,
                       shape.elements() * dtype_bits(layout.dtype) / 8};
}

const Op<AttentionCall> kAttention{
    {.name = "attention",
     .operands = {&AttentionCall::q, &AttentionCall::k, &AttentionCall::v, &AttentionCall::sink,
                  &AttentionCall::bias0, &AttentionCall::bias1, &AttentionCall::bias2},
     .results = {&AttentionCall::out, &AttentionCall::lse},
     .kept = {&AttentionCall::out},
     .reads = [](const Tensor&) { return true; },
     .packed = pages,
     .define = define_attention,
     .forward = {{"tiled-bf16", forward, why_not_bf16}, {"tiled-f32", forward, why_not_f32}},
     .backward = {{"tiled-bf16", backward, why_not_bf16}, {"tiled-f32", backward, why_not_f32}},
     .cases = attention_cases}};

AttentionCall run(Ctx& c, AttentionCall p) {
  p.dtype = p.pages ? p.pages->layout.dtype : c.num.dtype;
  p.sink = p.plan.sink;
  Tensor* const members[] = {&p.bias0, &p.bias1, &p.bias2};
  check(p.plan.bias.size() <= 3, "[attention] ", p.plan.bias.size(), " biases; three at most");
  for (size_t i = 0; i < p.plan.bias.size(); ++i) *members[i] = bias_values(p.plan.bias[i]);
  check_attention(p);
  if (!any_pair(p)) {
    if (p.with_lse && p.sequences() > 0) {
      define_attention(c, p);
    } else {
      p.out = Tensor::zeros(c, {p.q.extent(0), p.heads(), p.value_width()}, p.q.dtype());
      p.lse = Tensor::zeros(c, {0, p.heads()}, p.q.dtype());
    }
    return p;
  }
  for (Tensor* x : {&p.q, &p.k, &p.v})
    if (*x) *x = with_dense_heads(c, *x);
  // Rows of biases may lie apart, as those that are made head by head do.
  for (Tensor* x : {&p.sink, &p.bias0, &p.bias1, &p.bias2})
    if (*x && !(x->rank() == 3 && x->strides()[2] == 1)) *x = contiguous(c, *x);
  return kAttention(c, std::move(p));
}

}  // namespace

double AttentionCall::scale() const {
  return plan.scale != 0 ? static_cast<double>(plan.scale)
                         : 1 / std::sqrt(static_cast<double>(q.extent(2)));
}

BiasTerm AttentionCall::bias(size_t i) const {
  return with_values(plan.bias[i], i == 0 ? bias0 : i == 1 ? bias1 : bias2);
}

Tensor attention(Ctx& c, const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionPlan& plan) {
  return run(c, {.q = q, .k = k, .v = v, .plan = plan}).out;
}

Attended attention_with_lse(Ctx& c, const Tensor& q, const Tensor& k, const Tensor& v,
                            const AttentionPlan& plan) {
  AttentionCall p = run(c, {.q = q, .k = k, .v = v, .plan = plan, .with_lse = true});
  return {p.out, p.lse};
}

Tensor with_dense_heads(Ctx& c, const Tensor& x) {
  const bool dense = x.rank() == 3 && x.strides()[2] == 1 && x.strides()[1] == x.extent(2);
  return dense ? x : contiguous(c, x);
}

Tensor attention(Ctx& c, const Tensor& q, const PagedKv& kv, const AttentionPlan& plan) {
  check(!recording(c, {q}), "[attention] there is no gradient through pages");
  return run(c, {.q = q, .plan = plan, .pages = &kv}).out;
}

}  // namespace stemma
