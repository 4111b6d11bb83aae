// Gradient: dtable[ids[t]] += dy[t], in ascending t: the work is cut by columns, so that no two
// threads meet in a row of the table and the order of each sum is fixed.
#include "ops/embedding.h"

#include "ops/primitives.h"
#include "ops/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/embedding.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// Columns [begin, end) of every row.
void add_rows(const int32_t* ids, int32_t padding_id, const float* dy, int64_t tokens,
              int64_t width, int64_t begin, int64_t end, float* dtable) {
  const hn::ScalableTag<float> d;
  for (int64_t t = 0; t < tokens; ++t) {
    if (ids[t] == padding_id) continue;
    const float* from = dy + t * width;
    float* to = dtable + ids[t] * width;
    for (int64_t j = begin; j < end; j += static_cast<int64_t>(hn::Lanes(d)))
      store_n(d, hn::Add(load_n(d, to + j, end - j), load_n(d, from + j, end - j)), to + j,
              end - j);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(add_rows);

Tensor define(Ctx& c, const Tensor& table, const Tensor& ids, int padding_id) {
  const Tensor out = gather(c, table, ids);
  if (padding_id < 0) return out;
  Tensor padded = Tensor::empty(c, {ids.elements(), 1}, table.dtype());
  for (int64_t t = 0; t < ids.elements(); ++t) {
    const bool is_padding = ids.data<int32_t>()[t] == padding_id;
    if (table.dtype() == DType::f64)
      padded.data<double>()[t] = is_padding;
    else
      padded.data<float>()[t] = is_padding;
  }
  // A new handle on the same rows, which no tape knows: it takes no gradient.
  return where(c, padded, out.view(out.shape(), out.strides()), out);
}

}  // namespace

Tensor embedding(Ctx& c, const Tensor& given, const Tensor& ids, int padding_id) {
  check(given.rank() == 2 && ids.rank() == 1, "[embedding] a table ", given.shape().to_string(),
        " and ids ", ids.shape().to_string(), "; they must be [V,C] and [T]");
  const int64_t vocab = given.extent(0), width = given.extent(1), tokens = ids.elements();
  const int32_t* at = ids.data<int32_t>();
  for (int64_t t = 0; t < tokens; ++t)
    check(at[t] >= 0 && at[t] < vocab, "[embedding] id ", at[t], " at position ", t,
          " is outside the table of ", vocab, " rows");
  if (!rows::use_kernel(c, given)) return define(c, given, ids, padding_id);
  const Tensor table = contiguous(c, given), y = Tensor::empty(c, {tokens, width});
  const float* from = table.data<float>();
  float* to = y.data<float>();
  c.team->run_range(tokens, rows::grain(width), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) std::copy_n(from + at[t] * width, width, to + t * width);
  });
  if (recording(c, {table}))
    c.tape->record("embedding", {y},
                   [table, ids, padding_id](Ctx& c, std::span<const Tensor> d, Grads& g) {
                     const Tensor dy = contiguous(c, d[0]), dtable = g.into(c, table);
                     const float* pdy = dy.data<float>();
                     float* pdt = dtable.data<float>();
                     const int32_t* at = ids.data<int32_t>();
                     const auto run = STEMMA_AT_LEVEL(add_rows);
                     c.team->run_range(dy.extent(1), 128, [&](int64_t begin, int64_t end) {
                       run(at, padding_id, pdy, dy.extent(0), dy.extent(1), begin, end, pdt);
                     });
                   });
  return y;
}

}  // namespace stemma
#endif
