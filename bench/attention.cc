// attention: shares of the FMA peak, counting the products that the mask leaves: two forwards, five
// backwards.
#include "ops/attention/attention.h"

#include <vector>

#include "base/error.h"
#include "bench.h"

namespace stemma::bench {
namespace {

void measure(Ctx& c, const char* name, int sequences, int length, int64_t heads, int64_t kv_heads,
             int64_t d, bool causal) {
  Ints start;
  for (int s = 0; s <= sequences; ++s) start.push_back(s * length);
  const int64_t t = start.back();
  const auto filled = [&](int64_t h) {
    return Tensor::from<float>(c, std::vector<float>(static_cast<size_t>(t * h * d), 0.25f),
                               {t, h, d});
  };
  const Tensor q = filled(heads), k = filled(kv_heads), v = filled(kv_heads), dout = filled(heads);
  const AttentionPlan plan{.q_start = start, .k_start = start, .causal = causal};
  const double n = length, pairs = sequences * (causal ? n * (n + 1) / 2 : n * n);
  const double forward = 4 * pairs * static_cast<double>(heads * d);
  const std::string shape =
      cat(name, ": ", sequences, " x ", length, ", H ", heads, "/", kv_heads, ", D ", d);
  report(c, shape, forward, [&] { attention(c, q, k, v, plan); });
  report(c, shape + ", training", forward * 3.5, [&] {
    Tape tape;
    for (const Tensor& x : {q, k, v}) tape.watch(x);
    c.tape = &tape;
    const Tensor out = attention(c, q, k, v, plan);
    c.tape = nullptr;
    tape.backward(c, out, dout);
  });
}

}  // namespace

void attention(Ctx& c) {
  measure(c, "MiniLM", 256, 12, 12, 12, 32, false);
  measure(c, "MiniLM", 128, 30, 12, 12, 32, false);
  measure(c, "MiniLM", 8, 512, 12, 12, 32, false);
  measure(c, "BERT", 8, 128, 12, 12, 64, false);
  measure(c, "causal", 4, 256, 6, 6, 64, true);
  measure(c, "causal", 1, 2048, 8, 2, 64, true);
}

}  // namespace stemma::bench
