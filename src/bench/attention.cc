#include "ops/attention/attention.h"

#include "autograd/tape.h"
#include "base/error.h"
#include "bench/items.h"

namespace stemma::bench {
namespace {

struct Shape {
  int sequences, length;
  int64_t heads, kv_heads, d;
  bool causal;
  DType dtype;
};

Job prepare(Ctx& c, const Shape& s, bool backward) {
  Ints start;
  for (int i = 0; i <= s.sequences; ++i) start.push_back(i * s.length);
  const int64_t tokens = start.back();
  const auto filled = [&](int64_t heads) {
    const std::vector<float> values(static_cast<size_t>(tokens * heads * s.d), 0.25f);
    return Tensor::from<float>(c, values, {tokens, heads, s.d});
  };
  const Tensor q = filled(s.heads), k = filled(s.kv_heads), v = filled(s.kv_heads);
  const Tensor dout = filled(s.heads);
  const AttentionPlan plan{.q_start = {start.begin(), start.end()},
                           .k_start = {start.begin(), start.end()},
                           .mask = s.causal ? Mask{Causal{}} : Mask{}};
  const double n = s.length, pairs = s.sequences * (s.causal ? n * (n + 1) / 2 : n * n);
  const double operations = (backward ? 14 : 4) * pairs * static_cast<double>(s.heads * s.d);
  Ctx own = c;
  own.num.dtype = s.dtype;
  Job job{.amount = operations, .operations = operations};
  if (!backward) {
    job.call = [own, q, k, v, plan]() mutable { attention(own, q, k, v, plan); };
  } else {
    job.call = [own, q, k, v, plan, dout] {
      Tape tape;
      for (const Tensor& x : {q, k, v}) tape.watch(x);
      Ctx recording = own;
      recording.tape = &tape;
      const Tensor out = attention(recording, q, k, v, plan);
      recording.tape = nullptr;
      tape.backward(recording, out, dout);
    };
  }
  return job;
}

}  // namespace

std::vector<Item> attention_items(bool full) {
  std::vector<Item> items;
  std::vector<int> lengths = {128, 512, 1024, 2048};
  if (full) lengths.push_back(4096);
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const bool backward : {false, true})
      for (const int64_t d : {64, 128})
        for (const bool causal : {false, true})
          for (const int length : lengths) {
            // BERT-base's heads, or a small decoder's with grouped keys.
            const Shape s{.sequences = std::max(1, 2048 / length),
                          .length = length,
                          .heads = d == 64 ? 12 : 8,
                          .kv_heads = d == 64 ? 12 : 2,
                          .d = d,
                          .causal = causal,
                          .dtype = dtype};
            items.push_back({.work = backward ? "attention forward+backward" : "attention forward",
                             .shape = cat(s.sequences, "x", length, " H", s.heads, "/", s.kv_heads,
                                          " D", d, causal ? " causal" : ""),
                             .dtype = dtype == DType::f32 ? "f32" : "bf16",
                             .unit = "GFLOP/s",
                             .math = dtype == DType::f32 ? Math::f32 : Math::bf16,
                             .prepare = [s, backward](Ctx& c) { return prepare(c, s, backward); }});
          }
  return items;
}

}  // namespace stemma::bench
