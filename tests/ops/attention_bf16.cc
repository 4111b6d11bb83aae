// Attention in bf16, at every level that the matrix product knows: near the
// definition in value and gradient, and with the same laws on bits as in f32,
// at each level for itself.
#include <gtest/gtest.h>

#include <cmath>

#include "ops/attention_support.h"
#include "simd/isa.h"

namespace stemma {
namespace {
using namespace attention_test;  // NOLINT: it is the tests' own

struct Bf16Machine : Machine {
  explicit Bf16Machine(int threads = 1) : Machine(threads) { c.num.dtype = DType::bf16; }
};

struct Operands {
  Tensor q, k, v, sink, dout;
};

Operands operands(Machine& m, int64_t n, int64_t heads, int64_t kv_heads, int64_t d, int64_t dv) {
  return {m.random({n, heads, d}, 1), m.random({n, kv_heads, d}, 2), m.random({n, kv_heads, dv}, 3),
          m.random({heads}, 4), m.random({n, heads, dv}, 5)};
}

// out, and the gradients of q, k, v and the sink.
std::vector<Tensor> forward_backward(Ctx& c, const Operands& x, AttentionPlan plan) {
  plan.sink = x.sink;
  Tape tape;
  for (const Tensor& t : {x.q, x.k, x.v, x.sink}) tape.watch(t);
  Ctx taped = c;
  taped.tape = &tape;
  const Tensor out = attention(taped, x.q, x.k, x.v, plan);
  tape.backward(c, out, x.dout);
  return {out, tape.grad(x.q), tape.grad(x.k), tape.grad(x.v), tape.grad(x.sink)};
}

// ||a - b|| / ||b||
double distance(const Tensor& a, const Tensor& b) {
  const std::vector<float> x = a.to_vector<float>(), y = b.to_vector<float>();
  double difference = 0, size = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    difference += std::pow(static_cast<double>(x[i]) - y[i], 2);
    size += std::pow(static_cast<double>(y[i]), 2);
  }
  return std::sqrt(difference / size);
}

struct AttentionBf16 : testing::TestWithParam<Isa> {
  ScopedIsa level_{GetParam()};
};

TEST_P(AttentionBf16, IsNearTheDefinition) {
  Bf16Machine m(2);
  const Operands x = operands(m, 150, 4, 2, 40, 24);
  const AttentionPlan plan{
      .q_start = {0, 7, 7, 150}, .k_start = {0, 7, 7, 150}, .mask = {Causal{}}};
  const std::vector<Tensor> got = forward_backward(m.c, x, plan);
  m.c.kernels = false;
  const std::vector<Tensor> want = forward_backward(m.c, x, plan);
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_LT(distance(got[i], want[i]), 1e-2) << i;
    EXPECT_GT(distance(got[i], want[i]), 1e-5) << i << ": this is not bf16";
  }
}

TEST_P(AttentionBf16, ThreadsAndRepetitionGiveTheSameBits) {
  // Enough strips for two chunks backwards.
  const AttentionPlan plan{.q_start = {0, 200}, .k_start = {0, 200}, .mask = {Causal{}}};
  std::vector<Tensor> first;
  for (int threads : {1, 2, 3}) {
    Bf16Machine m(threads);
    const std::vector<Tensor> got = forward_backward(m.c, operands(m, 200, 8, 1, 16, 16), plan);
    if (first.empty()) first = got;
    for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(same_bits(got[i], first[i])) << i;
  }
}

TEST_P(AttentionBf16, ASequenceAloneGivesTheBitsOfABatch) {
  Bf16Machine m(2);
  const Offsets start{0, 70, 71, 200};
  Operands x = operands(m, start.back(), 4, 2, 33, 33);
  const std::vector<Tensor> batch =
      forward_backward(m.c, x, {.q_start = start, .k_start = start, .mask = {Causal{}}});
  for (size_t s = 0; s + 1 < start.size(); ++s) {
    const int begin = start[s], end = start[s + 1];
    const Operands own{rows(x.q, begin, end), rows(x.k, begin, end), rows(x.v, begin, end), x.sink,
                       rows(x.dout, begin, end)};
    const Offsets offsets{0, end - begin};
    const std::vector<Tensor> alone =
        forward_backward(m.c, own, {.q_start = offsets, .k_start = offsets, .mask = {Causal{}}});
    for (size_t i = 0; i < 4; ++i)
      EXPECT_TRUE(same_bits(alone[i], rows(batch[i], begin, end))) << s << ", tensor " << i;
  }
}

TEST_P(AttentionBf16, DecodeChunksAndPrefillOverPagesGiveTheBitsOfRows) {
  Bf16Machine m(2);
  const int64_t n = 140, heads = 4, kv_heads = 2, d = 20, dv = 36;
  const Operands x = operands(m, n, heads, kv_heads, d, dv);
  const AttentionPlan all{.q_start = {0, n}, .k_start = {0, n}, .mask = {Causal{}}};
  const Tensor want = attention(m.c, x.q, x.k, x.v, all);
  const KvLayout layout{.kv_heads = kv_heads, .d = d, .dv = dv, .dtype = DType::bf16};
  for (int64_t step : {1, 48, 140}) {
    Pages pages(m.c, layout);
    for (int64_t begin = 0; begin < n; begin += step) {
      const int64_t end = std::min(n, begin + step);
      pages.append(rows(x.k, begin, end), rows(x.v, begin, end));
      AttentionPlan plan = all;
      plan.q_start = {0, static_cast<int>(end - begin)};
      plan.k_start = {0, static_cast<int>(end)};
      ASSERT_TRUE(
          same_bits(attention(m.c, rows(x.q, begin, end), PagedKv{layout, {pages.from(0)}}, plan),
                    rows(want, begin, end)))
          << "rows " << begin << " to " << end;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, AttentionBf16, testing::ValuesIn(available_dot_isas()),
                         [](const auto& info) {
                           std::string name = isa_name(info.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace stemma
