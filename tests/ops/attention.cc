// What is attention's own, next to what the op driver checks of its cases:
// decoding step by step gives the bits of prefill, a sequence alone those of a
// batch, and the corners.
#include "ops/attention/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "ops/attention_support.h"

namespace stemma {
namespace {

using namespace attention_test;  // NOLINT: it is the tests' own

// Every way to reach a query's row: all at once, in pieces, one at a time.
TEST(Attention, DecodingGivesTheBitsOfPrefill) {
  Machine m(2);
  const int64_t n = 203, heads = 6, kv_heads = 2, d = 20, dv = 36;
  for (int window : {0, 50}) {
    const Tensor q = m.random({n, heads, d}, 1), k = m.random({n, kv_heads, d}, 2),
                 v = m.random({n, kv_heads, dv}, 3);
    AttentionPlan plan{
        .q_start = {0, n}, .k_start = {0, n}, .mask = {Causal{}, SlidingWindow{window - 1}}};
    const Tensor prefill = attention(m.c, q, k, v, plan);
    for (int64_t step : {1, 3, 48, 100})
      for (int64_t begin = 0; begin < n; begin += step) {
        const int64_t end = std::min(n, begin + step);
        plan.q_start = {0, static_cast<int>(end - begin)};
        plan.k_start = {0, static_cast<int>(end)};
        const Tensor want = rows(prefill, begin, end), piece = rows(q, begin, end);
        ASSERT_TRUE(same_bits(attention(m.c, piece, rows(k, 0, end), rows(v, 0, end), plan), want))
            << "rows " << begin << " to " << end;
      }
  }
}

TEST(Attention, ASequenceAloneGivesTheBitsOfABatch) {
  Machine m(2);
  const int64_t heads = 4, kv_heads = 2, d = 33;
  const Offsets start{0, 70, 71, 71, 200, 500};
  const int64_t n = start.back();
  const Tensor q = m.random({n, heads, d}, 1), k = m.random({n, kv_heads, d}, 2),
               v = m.random({n, kv_heads, d}, 3), seed = m.random({n, heads, d}, 4);
  const auto run = [&](int64_t begin, int64_t end, const Offsets& offsets, bool causal) {
    const Tensor qs = rows(q, begin, end), ks = rows(k, begin, end), vs = rows(v, begin, end);
    Tape tape;
    for (const Tensor& t : {qs, ks, vs}) tape.watch(t);
    m.c.tape = &tape;
    const Tensor out = attention(
        m.c, qs, ks, vs,
        {.q_start = offsets, .k_start = offsets, .mask = causal ? Mask{Causal{}} : Mask{}});
    m.c.tape = nullptr;
    tape.backward(m.c, out, rows(seed, begin, end));
    return std::vector<Tensor>{out, tape.grad(qs), tape.grad(ks), tape.grad(vs)};
  };
  for (bool causal : {false, true}) {
    const std::vector<Tensor> batch = run(0, n, start, causal);
    for (size_t s = 0; s + 1 < start.size(); ++s) {
      const int begin = start[s], end = start[s + 1];
      if (begin == end) continue;
      const std::vector<Tensor> alone = run(begin, end, {0, end - begin}, causal);
      for (size_t i = 0; i < alone.size(); ++i)
        EXPECT_TRUE(same_bits(alone[i], rows(batch[i], begin, end)))
            << "sequence " << s << ", tensor " << i;
    }
  }
}

// Backwards the strips of a long sequence are summed in chunks, and so are the
// gradients of biases.
TEST(Attention, ALongSequenceIsCutBackwards) {
  const int64_t n = 230, heads = 8, d = 12;
  std::vector<std::vector<Tensor>> results;
  for (int threads : {0, 1, 3}) {  // 0: the definition
    Machine m(std::max(1, threads));
    m.c.kernels = threads > 0;
    const Tensor q = m.random({n, heads, d}, 1), k = m.random({n, 1, d}, 2),
                 v = m.random({n, 1, d}, 3), table = m.random({32, heads}, 4),
                 keys = m.random({n, heads, 1}, 5), sink = m.random({heads}, 6),
                 pairs = m.random({n, heads, 16}, 8);
    const std::vector<Tensor> operands{q, k, v, table, keys, sink, pairs};
    Tape tape;
    for (const Tensor& t : operands) tape.watch(t);
    m.c.tape = &tape;
    const Tensor out = attention(m.c, q, k, v,
                                 {.q_start = {0, n},
                                  .k_start = {0, n},
                                  .mask = {Causal{}},
                                  .bias = {HeadTable{table, T5Bucket{}}, KeyRows{keys, One{}},
                                           KeyRows{pairs, LogBucket{8, 64}}},
                                  .sink = sink});
    m.c.tape = nullptr;
    tape.backward(m.c, out, m.random({n, heads, d}, 7));
    std::vector<Tensor>& all = results.emplace_back(std::vector<Tensor>{out});
    for (const Tensor& t : operands) all.push_back(tape.grad(t));
  }
  for (size_t i = 0; i < results[0].size(); ++i) {
    EXPECT_TRUE(same_bits(results[1][i], results[2][i])) << i;
    const std::vector<float> want = results[0][i].to_vector<float>(),
                             got = results[1][i].to_vector<float>();
    for (size_t j = 0; j < want.size(); ++j)
      ASSERT_NEAR(got[j], want[j], 3e-5 * (1 + std::abs(want[j]))) << i << ", element " << j;
  }
}

TEST(Attention, AQueryWithoutKeysGivesZero) {
  Machine m;
  // Three queries, one key, causal: the first two stand before it.
  const Tensor q = m.random({3, 1, 4}, 1), k = m.random({1, 1, 4}, 2), v = m.random({1, 1, 4}, 3);
  const AttentionPlan plan{.q_start = {0, 3}, .k_start = {0, 1}, .mask = {Causal{}}};
  for (bool kernels : {false, true}) {
    m.c.kernels = kernels;
    const Tensor out = attention(m.c, q, k, v, plan);
    for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(out.item(i), 0);
    for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(out.item(8 + i), v.item(i));
  }
}

TEST(Attention, LargeScoresDoNotOverflow) {
  Machine m;
  const Tensor q = Tensor::from<float>(m.c, std::vector<float>{300, 300}, {2, 1, 1});
  const Tensor k = Tensor::from<float>(m.c, std::vector<float>{300, -300}, {2, 1, 1});
  const Tensor v = Tensor::from<float>(m.c, std::vector<float>{1, 2}, {2, 1, 1});
  const Tensor out = attention(m.c, q, k, v, {.q_start = {0, 2}, .k_start = {0, 2}});
  EXPECT_EQ(out.item(0), 1);
  EXPECT_EQ(out.item(1), 1);
}

// Where the first block a row's strip walks holds no key of its own, what
// follows is still exact, however low the scores.
TEST(Attention, ARowMayBeginWithAnUnseenBlock) {
  Machine m;
  const int64_t n = 100;
  std::vector<float> q(n, 1), k(n, -900), v(n);
  for (int64_t i = 0; i < n; ++i) v[i] = static_cast<float>(i);
  const Shape shape{n, 1, 1};
  const AttentionPlan plan{
      .q_start = {0, n}, .k_start = {0, n}, .mask = {Causal{}, SlidingWindow{0}}, .scale = 1};
  const Tensor out =
      attention(m.c, Tensor::from<float>(m.c, q, shape), Tensor::from<float>(m.c, k, shape),
                Tensor::from<float>(m.c, v, shape), plan);
  for (int64_t i = 0; i < n; ++i) EXPECT_EQ(out.item(i), static_cast<double>(i));
}

TEST(Attention, NotANumberIsNotHidden) {
  Machine m;
  Tensor q = m.random({2, 1, 4}, 1), k = m.random({2, 1, 4}, 2), v = m.random({2, 1, 4}, 3);
  q.data<float>()[5] = NAN;
  const Tensor out = attention(m.c, q, k, v, {.q_start = {0, 2}, .k_start = {0, 2}});
  EXPECT_FALSE(std::isnan(out.item(0)));
  EXPECT_TRUE(std::isnan(out.item(4)));
}

TEST(Attention, RefusesWhatDoesNotFit) {
  Machine m;
  const Tensor q = Tensor::zeros(m.c, {4, 3, 8}), k = Tensor::zeros(m.c, {4, 2, 8});
  const Tensor k3 = Tensor::zeros(m.c, {4, 3, 8});
  const AttentionPlan plan{.q_start = {0, 4}, .k_start = {0, 4}};
  EXPECT_THROW(attention(m.c, q, k, k, plan), Error);  // 3 heads over 2
  AttentionPlan bad = plan;
  bad.k_start = {0, 5};
  EXPECT_THROW(attention(m.c, q, k3, k3, bad), Error);
  bad = plan;
  bad.q_start = {0, 3, 2, 4};
  bad.k_start = {0, 3, 3, 4};
  EXPECT_THROW(attention(m.c, q, k3, k3, bad), Error);
}

}  // namespace
}  // namespace stemma
