// nll = lse - x[label], lse = max + log sum exp(x - max), the log-sum-exp being what is kept.
// Gradient: dx = d (exp(x - lse) - onehot(label)).
// linear_cross_entropy goes through the counted rows in chunks. Its backward makes each chunk's
// logits again, turns them into their gradient in place, and hands that to linear's own rule.
#include "ops/cross_entropy.h"

#include <algorithm>

#include "ops/op.h"
#include "ops/rows.h"
#include "ops/softmax.h"
#include "ops/weight_case.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cross_entropy.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"
// After the two above, in this order.
#include "ops/row_exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

float log_sum_exp(const float* x, int64_t n) {
  const hn::ScalableTag<float> d;
  const float top = row_max(x, n);
  return top + hn::GetLane(vlog(d, hn::Set(d, sum_exp(x, top, n, nullptr))));
}

// dx = scale * exp(x - lse); dx may be x.
void scaled_softmax(const float* x, float lse, float scale, int64_t n, float* dx) {
  const hn::ScalableTag<float> d;
  const auto vlse = hn::Set(d, lse), vscale = hn::Set(d, scale);
  for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d))) {
    const auto p = vexp(d, hn::Sub(load_n(d, x + i, n - i), vlse));
    store_n(d, hn::Mul(vscale, p), dx + i, n - i);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(log_sum_exp);
STEMMA_LEVELS(scaled_softmax);

// ---- cross_entropy

struct CrossEntropy {
  Tensor logits, labels;
  Tensor nll = {};
  Tensor lse = {};  // [T], for the backward; only of counted rows
};

void define(Ctx& c, CrossEntropy& p) {
  p.nll = neg(c, pick(c, log_softmax(c, p.logits), p.labels));
}

void forward(Ctx& c, CrossEntropy& p, bool) {
  const int64_t rows = p.logits.extent(0), n = p.logits.extent(1);
  p.nll = Tensor::empty(c, {rows});
  p.lse = Tensor::empty(c, {rows});
  const float* x = p.logits.data<float>();
  const int32_t* at = p.labels.data<int32_t>();
  float *nll = p.nll.data<float>(), *lse = p.lse.data<float>();
  const auto run = STEMMA_AT_LEVEL(log_sum_exp);
  c.team->run_range(rows, rows::grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (at[r] >= 0) lse[r] = run(x + r * n, n);
      nll[r] = at[r] >= 0 ? lse[r] - x[r * n + at[r]] : 0;
    }
  });
}

void backward(Ctx& c, const CrossEntropy& p, std::span<const Tensor> d, Grads& g) {
  const int64_t rows = p.logits.extent(0), n = p.logits.extent(1);
  const Tensor dx = Tensor::empty(c, p.logits.shape());
  const float *x = p.logits.data<float>(), *lse = p.lse.data<float>(), *dy = d[0].data<float>();
  const int32_t* at = p.labels.data<int32_t>();
  float* to = dx.data<float>();
  const auto run = STEMMA_AT_LEVEL(scaled_softmax);
  c.team->run_range(rows, rows::grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* row = to + r * n;
      if (at[r] < 0) {
        std::fill_n(row, n, 0.0f);
      } else {
        run(x + r * n, lse[r], dy[r], n, row);
        row[at[r]] -= dy[r];
      }
    }
  });
  g.add(c, p.logits, dx);
}

std::vector<OpCase> cases() {
  return {
      {.name = "rows",  // labels from -3: some rows are not counted
       .inputs =
           [](int64_t rows, int64_t n) {
             return std::vector{OpInput::batch({rows, n}), OpInput::indices({rows}, -3, n)};
           },
       .run = [](Ctx& c, const Tensors& in) -> Tensors { return {cross_entropy(c, in[0], in[1])}; },
       .smallest = 1,
       .timed = true}};
}

const Op<CrossEntropy> kCrossEntropy{{.name = "cross_entropy",
                                      .operands = {&CrossEntropy::logits},
                                      .constants = {&CrossEntropy::labels},
                                      .results = {&CrossEntropy::nll},
                                      .define = define,
                                      .forward = {{"rows", forward}},
                                      .backward = {{"rows", backward}},
                                      .cases = cases}};

// ---- linear_cross_entropy

struct LinearCrossEntropy {
  Tensor hidden, labels;
  const Weight* w;
  Tensor nll = {};
  Tensor counted = {}, lse = {};  // [counted rows]: which they are, and theirs
};

void define(Ctx& c, LinearCrossEntropy& p) {
  p.nll = cross_entropy(c, linear(c, p.hidden, *p.w), p.labels);
}

// fn(first, rows) for each chunk of the counted rows, `first` being its place among them.
template <class F>
void each_chunk(const LinearCrossEntropy& p, F fn) {
  const int64_t n = p.counted.elements(), step = linear_cross_entropy_rows(p.w->rows());
  for (int64_t first = 0; first < n; first += step)
    fn(first, p.counted.view({std::min(step, n - first)}, {1}, first));
}

Tensor counted_rows(Ctx& c, const Tensor& labels) {
  const int32_t* at = labels.data<int32_t>();
  const auto total = static_cast<int32_t>(labels.elements());
  const Tensor rows = Tensor::empty(
      c, {std::count_if(at, at + total, [](int32_t id) { return id >= 0; })}, DType::i32);
  int32_t* to = rows.data<int32_t>();
  for (int32_t t = 0; t < total; ++t)
    if (at[t] >= 0) *to++ = t;
  return rows;
}

void forward(Ctx& c, LinearCrossEntropy& p, bool) {
  p.nll = Tensor::zeros(c, {p.hidden.extent(0)});
  p.counted = counted_rows(c, p.labels);
  p.lse = Tensor::empty(c, p.counted.shape());
  const int64_t vocab = p.w->rows();
  const int32_t* at = p.labels.data<int32_t>();
  float *nll = p.nll.data<float>(), *lse = p.lse.data<float>();
  each_chunk(p, [&](int64_t first, const Tensor& rows) {
    const Tensor logits = linear(c, gather(c, p.hidden, rows), *p.w);
    const float* x = logits.data<float>();
    const int32_t* row = rows.data<int32_t>();
    const auto run = STEMMA_AT_LEVEL(log_sum_exp);
    c.team->run_range(rows.elements(), rows::grain(vocab), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        lse[first + r] = run(x + r * vocab, vocab);
        nll[row[r]] = lse[first + r] - x[r * vocab + at[row[r]]];
      }
    });
  });
}

void backward(Ctx& c, const LinearCrossEntropy& p, std::span<const Tensor> d, Grads& g) {
  const int64_t vocab = p.w->rows(), width = p.hidden.extent(1);
  const int32_t* at = p.labels.data<int32_t>();
  const float *dy = d[0].data<float>(), *lse = p.lse.data<float>();
  const Tensor dhidden = g.wants(p.hidden) ? g.into(c, p.hidden) : Tensor();
  const auto watch_leaves = [&](Tape* tape) {
    p.w->each_leaf([&](const Tensor& leaf) {
      if (!g.wants(leaf)) return;
      const Tensor sink = g.into(c, leaf);
      if (tape) tape->watch(leaf, sink);
    });
  };
  watch_leaves(nullptr);  // where no row is counted, gradients are zero all the same
  each_chunk(p, [&](int64_t first, const Tensor& rows) {
    const Tensor part = gather(c, p.hidden, rows);
    Tape tape(c.pool);
    if (dhidden) tape.watch(part);
    watch_leaves(&tape);
    Ctx taped = c;
    taped.tape = &tape;
    const Tensor logits = linear(taped, part, *p.w);
    float* x = logits.data<float>();
    const int32_t* row = rows.data<int32_t>();
    const auto run = STEMMA_AT_LEVEL(scaled_softmax);
    c.team->run_range(rows.elements(), rows::grain(vocab), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const float dnll = dy[row[r]];
        run(x + r * vocab, lse[first + r], dnll, vocab, x + r * vocab);
        x[r * vocab + at[row[r]]] -= dnll;
      }
    });
    tape.backward(c, logits, logits);  // they hold their own gradient by now
    if (!dhidden) return;
    const float* from = tape.grad(part).data<float>();
    float* to = dhidden.data<float>();
    for (int64_t r = 0; r < rows.elements(); ++r)
      for (int64_t j = 0; j < width; ++j) to[row[r] * width + j] += from[r * width + j];
  });
}

OpCase head(std::string name, bool bias) {
  return {.name = std::move(name),
          .inputs =
              [](int64_t rows, int64_t n) {
                return std::vector{OpInput::batch({rows, 6}), OpInput::real({n, 6}),
                                   OpInput::real({n}), OpInput::indices({rows}, -3, n)};
              },
          .run = [=](Ctx& c, const Tensors& in) -> Tensors {
            const auto w = taped_weight(c, {{in[1], bias ? in[2] : Tensor()}});
            return {linear_cross_entropy(c, in[0], *w, in[3])};
          },
          .smallest = 1};
}

std::vector<OpCase> linear_cases() { return {head("bias", true), head("no_bias", false)}; }

const Op<LinearCrossEntropy> kLinearCrossEntropy{
    {.name = "linear_cross_entropy",
     .operands = {&LinearCrossEntropy::hidden},
     .constants = {&LinearCrossEntropy::labels},
     .results = {&LinearCrossEntropy::nll},
     .packed = [](const LinearCrossEntropy& p) { return std::optional(p.w->packed()); },
     .needed = [](const LinearCrossEntropy& p, const Tape& tape) { return p.w->needed(tape); },
     .define = define,
     .forward = {{"chunks", forward}},
     .backward = {{"chunks", backward}},
     .cases = linear_cases}};

Tensor checked_labels(Ctx& c, const Tensor& given, int64_t rows, int64_t classes) {
  check(given.rank() == 1 && given.extent(0) == rows, "[cross_entropy] ", given.shape().to_string(),
        " labels for ", rows, " rows; there must be one a row");
  const Tensor labels = contiguous(c, given);
  const int32_t* at = labels.data<int32_t>();
  for (int64_t t = 0; t < rows; ++t)
    check(at[t] < classes, "[cross_entropy] label ", at[t], " of row ", t, " is not below ",
          classes);
  return labels;
}

}  // namespace

Tensor cross_entropy(Ctx& c, const Tensor& logits, const Tensor& labels) {
  check(logits.rank() == 2 && logits.extent(1) > 0, "[cross_entropy] logits have shape ",
        logits.shape().to_string(), "; they must be [T,V], V > 0");
  const Tensor dense = checked_labels(c, labels, logits.extent(0), logits.extent(1));
  return kCrossEntropy(c, {.logits = logits, .labels = dense}).nll;
}

int64_t linear_cross_entropy_rows(int64_t vocab) {
  return std::max<int64_t>(256, (1 << 23) / vocab);
}

Tensor linear_cross_entropy(Ctx& c, const Tensor& hidden, const Weight& w, const Tensor& labels) {
  check(hidden.rank() == 2 && w.rows() > 0, "[linear_cross_entropy] hidden ",
        hidden.shape().to_string(), " and a weight of ", w.rows(),
        " rows; they must be [T,C] and [V,C], V > 0");
  const Tensor dense = checked_labels(c, labels, hidden.extent(0), w.rows());
  return kLinearCrossEntropy(c, {.hidden = hidden, .labels = dense, .w = &w}).nll;
}

}  // namespace stemma
#endif
