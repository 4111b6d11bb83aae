// KV pages: what is appended is read back, in whatever pieces; and attention over pages gives the
// bits of attention over rows: decode, chunked prefill and prefill at once, with and without the
// pages that a window has left behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "ops/attention/pages.h"
#include "ops/attention_support.h"

namespace stemma {
namespace {

using namespace attention_test;  // NOLINT: it is the tests' own

float stored(DType dtype, float x) { return dtype == DType::f32 ? x : widen_bf16(narrow_bf16(x)); }

TEST(KvPages, GiveBackWhatWasAppended) {
  Machine m;
  const int64_t n = 64, heads = 3, d = 20, dv = 37;
  const Tensor k = m.random({n, heads, d}, 1), v = m.random({n, heads, dv}, 2);
  for (DType dtype : {DType::f32, DType::bf16})
    for (int64_t step : {1, 7, 31, 32, 64}) {
      const KvLayout layout{.kv_heads = heads, .d = d, .dv = dv, .dtype = dtype};
      Pages pages(m.c, layout);
      for (int64_t at = 0; at < n; at += step)
        pages.append(rows(k, at, std::min(n, at + step)), rows(v, at, std::min(n, at + step)));
      std::vector<float> keys(static_cast<size_t>(50 * heads * d)),
          values(static_cast<size_t>(50 * heads * dv));
      read(layout, pages.page(0), 5, 50, keys.data(), values.data());
      for (size_t i = 0; i < keys.size(); ++i)
        ASSERT_EQ(keys[i], stored(dtype, k.data<float>()[5 * heads * d + i]));
      for (size_t i = 0; i < values.size(); ++i)
        ASSERT_EQ(values[i], stored(dtype, v.data<float>()[5 * heads * dv + i]));
    }
}

// A store whose pages are compared or saved as bytes may rely on this.
TEST(KvPages, TheBytesDoNotDependOnThePieces) {
  Machine m;
  const int64_t heads = 2, d = 33, dv = 8;
  const Tensor k = m.random({50, heads, d}, 1), v = m.random({50, heads, dv}, 2);
  for (DType dtype : {DType::f32, DType::bf16}) {
    const KvLayout layout{.kv_heads = heads, .d = d, .dv = dv, .dtype = dtype};
    Pages whole(m.c, layout), pieces(m.c, layout);
    whole.append(k, v);
    for (int64_t at = 0; at < 50; ++at) pieces.append(rows(k, at, at + 1), rows(v, at, at + 1));
    EXPECT_EQ(std::memcmp(whole.page(0), pieces.page(0), static_cast<size_t>(layout.bytes())), 0);
  }
}

TEST(KvPages, RefuseRowsPastTheirEnd) {
  Machine m;
  const KvLayout layout{.kv_heads = 1, .d = 4, .dv = 4};
  std::vector<float> row(8);
  const Buffer page = m.pool.allocate(static_cast<size_t>(layout.bytes()));
  const KvRows from{row.data(), 4, row.data(), 4};
  EXPECT_THROW(append(layout, page.get(), 63, 2, from), Error);
  KvLayout bytes = layout;
  bytes.dtype = DType::i8;
  EXPECT_THROW(append(bytes, page.get(), 0, 1, from), Error);
}

TEST(KvPages, DecodeChunksAndPrefillGiveTheBitsOfRows) {
  Machine m(2);
  const int64_t n = 203, heads = 6, kv_heads = 2, d = 20, dv = 36;
  const Tensor q = m.random({n, heads, d}, 1), k = m.random({n, kv_heads, d}, 2),
               v = m.random({n, kv_heads, dv}, 3);
  const KvLayout layout{.kv_heads = kv_heads, .d = d, .dv = dv};
  for (int window : {0, 50})
    for (int64_t step : {1, 3, 48, 100, 203}) {
      const AttentionPlan all{
          .q_start = {0, n}, .k_start = {0, n}, .mask = {Causal{}, SlidingWindow{window - 1}}};
      const Tensor want = attention(m.c, q, k, v, all);
      Pages pages(m.c, layout);
      for (int64_t begin = 0; begin < n; begin += step) {
        const int64_t end = std::min(n, begin + step);
        pages.append(rows(k, begin, end), rows(v, begin, end));
        AttentionPlan plan = all;
        plan.q_start = {0, static_cast<int>(end - begin)};
        plan.k_start = {0, static_cast<int>(end)};
        const int64_t first = window == 0 ? 0 : std::max<int64_t>(0, begin - window + 1) / 64;
        const Tensor got =
            attention(m.c, rows(q, begin, end), PagedKv{layout, {pages.from(first)}}, plan);
        ASSERT_EQ(std::memcmp(got.data<float>(), want.data<float>() + begin * heads * dv,
                              static_cast<size_t>((end - begin) * heads * dv) * sizeof(float)),
                  0)
            << "rows " << begin << " to " << end;
      }
    }
}

TEST(KvPages, ThePlanMustFitThem) {
  Machine m;
  const KvLayout layout{.kv_heads = 1, .d = 8, .dv = 8};
  Pages pages(m.c, layout);
  pages.append(m.random({70, 1, 8}, 1), m.random({70, 1, 8}, 2));
  const Tensor q = m.random({1, 1, 8}, 3);
  const AttentionPlan plan{.q_start = {0, 1}, .k_start = {0, 70}, .mask = {Causal{}}};
  EXPECT_NO_THROW(attention(m.c, q, PagedKv{layout, {pages.from(0)}}, plan));
  EXPECT_THROW(attention(m.c, q, PagedKv{layout, {pages.from(1)}}, plan), Error);  // sees page 0
  AttentionPlan longer = plan;
  longer.k_start = {0, 129};
  EXPECT_THROW(attention(m.c, q, PagedKv{layout, {pages.from(0)}}, longer), Error);
}

}  // namespace
}  // namespace stemma
