// Every kernel of every registered op that has a case to be timed: bytes that operands and results
// take, each counted once, against what memory gives.
#include <algorithm>
#include <memory>

#include "base/rng.h"
#include "bench/items.h"
#include "bench/memory.h"
#include "ops/op.h"

namespace stemma::bench {
namespace {

constexpr int64_t kWidth = 768;

// A few thousand values, again and again: a large operand is drawn in no time.
Tensor drawn(Ctx& c, const OpInput& input, RngKey key) {
  const auto fill = [&]<class T>(T) {
    constexpr size_t kPeriod = 4099;
    std::vector<T> values(static_cast<size_t>(input.shape.elements()));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = i < kPeriod
                      ? static_cast<T>(input.low + (input.high - input.low) * key.uniform(i))
                      : values[i - kPeriod];
    return Tensor::from<T>(c, values, input.shape);
  };
  return input.index ? fill(int32_t{}) : fill(0.0f);
}

// Rows whose operands and result exceed the caches together.
int64_t rows_of(const OpCase& example) {
  int64_t elements = 64 * kWidth;
  for (const OpInput& input : example.inputs(64, kWidth)) elements += input.shape.elements();
  return std::max<int64_t>(1024, beyond_cache() / (elements * 4 / 64) / 64 * 64);
}

Job prepare(Ctx& c, const AnyOp& op, const OpCase& example, const char* kernel, bool backward) {
  const int64_t rows = rows_of(example);
  Tensors in;
  const std::vector<OpInput> inputs = example.inputs(rows, kWidth);
  for (size_t i = 0; i < inputs.size(); ++i) in.push_back(drawn(c, inputs[i], RngKey(1).at(i)));
  const auto pin = std::make_shared<ScopedKernel>(op, Phase::forward, kernel);
  const Tensors out = example.run(c, in);
  const double once = static_cast<double>(bytes_of(in) + bytes_of(out));
  Job job;
  if (example.operations) job.operations = (backward ? 3 : 1) * example.operations(rows, kWidth);
  if (!backward) {
    job.amount = job.bytes = once;
    job.call = [&c, in, pin, run = example.run] { run(c, in); };
    return job;
  }
  // Backwards the operands are read, the gradients of the results too, and those of operands
  // written.
  job.amount = job.bytes = 2 * once + static_cast<double>(bytes_of(in));
  job.call = [&c, in, inputs, out, pin, run = example.run] {
    Tape tape(c.pool);
    for (size_t i = 0; i < in.size(); ++i)
      if (inputs[i].grad) tape.watch(in[i]);
    Ctx taped = c;
    taped.tape = &tape;
    tape.backward(c, run(taped, in), out);
  };
  return job;
}

}  // namespace

std::vector<Item> op_items() {
  std::vector<Item> items;
  for (const AnyOp* op : all_ops())
    for (const OpCase& example : op->cases())
      for (const char* kernel : op->kernels(Phase::forward))
        for (const bool backward : {false, true}) {
          if (!example.timed || kernel == op->kernels(Phase::forward).back()) continue;
          items.push_back(
              {.work = cat(op->name(), ":", kernel, backward ? " f+b" : ""),
               .shape = cat(example.name, " ", rows_of(example), "x", kWidth),
               .dtype = "f32",
               .unit = "GB/s",
               .prepare = [=](Ctx& c) { return prepare(c, *op, example, kernel, backward); }});
        }
  return items;
}

}  // namespace stemma::bench
