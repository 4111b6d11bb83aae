// nll = lse - x[label], lse = max + log sum exp(x - max), the log-sum-exp being what is kept.
// Gradient: dx = d (exp(x - lse) - onehot(label)).
// linear_cross_entropy goes through the counted rows in chunks. Its backward makes each chunk's
// logits again, turns them into their gradient in place, and hands that to linear's own rule.
#include "ops/cross_entropy.h"

#include "ops/primitives.h"
#include "ops/rows.h"
#include "ops/softmax.h"

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

Tensor define(Ctx& c, const Tensor& logits, const Tensor& labels) {
  return neg(c, pick(c, log_softmax(c, logits), labels));
}

void check_labels(const Tensor& labels, int64_t rows, int64_t classes) {
  check(labels.rank() == 1 && labels.contiguous() && labels.extent(0) == rows, "[cross_entropy] ",
        labels.shape().to_string(), " labels for ", rows, " rows; there must be one a row");
  const int32_t* at = labels.data<int32_t>();
  for (int64_t t = 0; t < rows; ++t)
    check(at[t] < classes, "[cross_entropy] label ", at[t], " of row ", t, " is not below ",
          classes);
}

// Rows of logits in memory at once: 32 MB of them, but enough for an efficient product.
int64_t rows_at_once(int64_t vocab) { return std::max<int64_t>(256, (1 << 23) / vocab); }

// fn(first, rows) for each chunk of the counted rows, `first` being its place among them.
template <class F>
void each_chunk(const Ints& counted, int64_t vocab, F fn) {
  const auto n = static_cast<int64_t>(counted.size()), step = rows_at_once(vocab);
  for (int64_t first = 0; first < n; first += step)
    fn(first, Ints(counted.begin() + first, counted.begin() + std::min(n, first + step)));
}

}  // namespace

Tensor cross_entropy(Ctx& c, const Tensor& given, const Tensor& labels) {
  check(given.rank() == 2 && given.extent(1) > 0, "[cross_entropy] logits have shape ",
        given.shape().to_string(), "; they must be [T,V], V > 0");
  const int64_t rows = given.extent(0), n = given.extent(1);
  check_labels(labels, rows, n);
  if (!rows::use_kernel(c, given)) return define(c, given, labels);
  const Tensor x = contiguous(c, given), y = Tensor::empty(c, {rows});
  const Tensor lse = Tensor::empty(c, {rows});
  const float* px = x.data<float>();
  const int32_t* at = labels.data<int32_t>();
  float *py = y.data<float>(), *pl = lse.data<float>();
  const auto run = STEMMA_AT_LEVEL(log_sum_exp);
  c.team->run_range(rows, rows::grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (at[r] >= 0) pl[r] = run(px + r * n, n);
      py[r] = at[r] >= 0 ? pl[r] - px[r * n + at[r]] : 0;
    }
  });
  if (recording(c, {x}))
    c.tape->record(
        "cross_entropy", {y}, [x, lse, labels, n](Ctx& c, std::span<const Tensor> d, Grads& g) {
          const Tensor dy = contiguous(c, d[0]), dx = Tensor::empty(c, x.shape());
          const float *px = x.data<float>(), *pl = lse.data<float>(), *pdy = dy.data<float>();
          const int32_t* at = labels.data<int32_t>();
          float* pdx = dx.data<float>();
          const auto run = STEMMA_AT_LEVEL(scaled_softmax);
          c.team->run_range(x.extent(0), rows::grain(n), [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
              float* row = pdx + r * n;
              if (at[r] < 0) {
                std::fill_n(row, n, 0.0f);
              } else {
                run(px + r * n, pl[r], pdy[r], n, row);
                row[at[r]] -= pdy[r];
              }
            }
          });
          g.add(c, x, dx);
        });
  return y;
}

Tensor linear_cross_entropy(Ctx& c, const Tensor& given, const Weight& w, const Tensor& labels) {
  check(given.rank() == 2 && w.rows() > 0, "[linear_cross_entropy] hidden ",
        given.shape().to_string(), " and a weight of ", w.rows(),
        " rows; they must be [T,C] and [V,C], V > 0");
  const int64_t vocab = w.rows();
  check_labels(labels, given.extent(0), vocab);
  if (!rows::use_kernel(c, given)) return cross_entropy(c, linear(c, given, w), labels);
  const Tensor hidden = contiguous(c, given), y = Tensor::zeros(c, {given.extent(0)});
  const int32_t* at = labels.data<int32_t>();
  Ints counted;
  for (int32_t t = 0; t < hidden.extent(0); ++t)
    if (at[t] >= 0) counted.push_back(t);
  const Tensor lse = Tensor::empty(c, {static_cast<int64_t>(counted.size())});
  float *py = y.data<float>(), *pl = lse.data<float>();
  Ctx quiet = c;
  quiet.tape = nullptr;
  each_chunk(counted, vocab, [&](int64_t first, const Ints& rows) {
    const Tensor part = gather(quiet, hidden, Tensor::from(quiet, rows));
    const Tensor logits = linear(quiet, part, w);
    const float* px = logits.data<float>();
    const auto run = STEMMA_AT_LEVEL(log_sum_exp);
    c.team->run_range(part.extent(0), rows::grain(vocab), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int32_t t = rows[static_cast<size_t>(r)];
        pl[first + r] = run(px + r * vocab, vocab);
        py[t] = pl[first + r] - px[r * vocab + at[t]];
      }
    });
  });
  if (c.tape == nullptr || !(c.tape->needs(hidden) || w.needed(*c.tape))) return y;

  c.tape->record("linear_cross_entropy", {y}, [=, &w](Ctx& c, std::span<const Tensor> d, Grads& g) {
    const Tensor dy = contiguous(c, d[0]);
    const int32_t* at = labels.data<int32_t>();
    const float *pdy = dy.data<float>(), *pl = lse.data<float>();
    const int64_t width = hidden.extent(1);
    const Tensor dhidden = g.wants(hidden) ? g.into(c, hidden) : Tensor();
    std::vector<std::pair<Tensor, Tensor>> sinks;
    for (const Tensor& leaf : w.leaves())
      if (g.wants(leaf)) sinks.emplace_back(leaf, g.into(c, leaf));
    each_chunk(counted, vocab, [&](int64_t first, const Ints& rows) {
      const Tensor part = gather(c, hidden, Tensor::from(c, rows));
      Tape tape(c.pool);
      if (dhidden) tape.watch(part);
      for (const auto& [leaf, sink] : sinks) tape.watch(leaf, sink);
      Ctx taped = c;
      taped.tape = &tape;
      const Tensor logits = linear(taped, part, w);
      float* px = logits.data<float>();
      const auto run = STEMMA_AT_LEVEL(scaled_softmax);
      c.team->run_range(part.extent(0), rows::grain(vocab), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const int32_t t = rows[static_cast<size_t>(r)];
          run(px + r * vocab, pl[first + r], pdy[t], vocab, px + r * vocab);
          px[r * vocab + at[t]] -= pdy[t];
        }
      });
      tape.backward(c, logits, logits);  // they hold their own gradient by now
      if (!dhidden) return;
      const float* from = tape.grad(part).data<float>();
      float* to = dhidden.data<float>();
      for (size_t r = 0; r < rows.size(); ++r)
        for (int64_t j = 0; j < width; ++j)
          to[rows[r] * width + j] += from[static_cast<int64_t>(r) * width + j];
    });
  });
  return y;
}

}  // namespace stemma
#endif
