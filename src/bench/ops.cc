#include <algorithm>

#include "base/error.h"
#include "bench/items.h"
#include "bench/memory.h"
#include "ops/op.h"

namespace stemma::bench {
namespace {

constexpr int64_t kWidth = 768;
constexpr int64_t kMostRows = 1 << 17;

int64_t bytes_per_row(const OpCase& op) {
  const auto bytes = [&](int64_t rows) {
    int64_t sum = 0;
    for (const OpInput& input : op.inputs(rows, kWidth)) sum += 4 * input.shape.elements();
    return sum;
  };
  return std::max<int64_t>(1, bytes(2) - bytes(1));
}

Tensor fill(Ctx& c, const OpInput& input) {
  const int64_t n = input.shape.elements();
  if (input.index) {
    Ints values(static_cast<size_t>(n));
    const auto span = static_cast<int64_t>(input.high - input.low);
    for (int64_t i = 0; i < n; ++i)
      values[static_cast<size_t>(i)] = static_cast<int32_t>(input.low) +
                                       static_cast<int32_t>(i * 7919 % std::max<int64_t>(1, span));
    return Tensor::from<int32_t>(c, values, input.shape);
  }
  std::vector<float> values(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i)
    values[static_cast<size_t>(i)] =
        static_cast<float>(input.low + (input.high - input.low) * ((i * 7919 % 1024) / 1024.0));
  return Tensor::from<float>(c, values, input.shape);
}

// As many rows as the caches do not hold: what is read and written comes from memory.
Job prepare(Ctx& c, const OpCase& op) {
  const int64_t rows = std::min(kMostRows, beyond_cache() / bytes_per_row(op));
  Tensors in;
  for (const OpInput& input : op.inputs(rows, kWidth)) in.push_back(fill(c, input));
  Job job;
  for (const Tensor& t : in) job.bytes += static_cast<double>(4 * t.elements());
  for (const Tensor& t : op.run(c, in))
    if (t) job.bytes += static_cast<double>(4 * t.elements());
  job.amount = job.bytes;
  if (op.operations) job.operations = op.operations(rows, kWidth);
  job.call = [&c, in, run = op.run] { run(c, in); };
  return job;
}

}  // namespace

std::vector<Item> op_items() {
  std::vector<Item> items;
  for (const AnyOp* op : all_ops())
    for (const OpCase& each : op->cases())
      if (each.timed)
        items.push_back({.work = op->name(),
                         .shape = cat(each.name, " width ", kWidth),
                         .dtype = "f32",
                         .unit = "GB/s",
                         .prepare = [each](Ctx& c) { return prepare(c, each); }});
  return items;
}

}  // namespace stemma::bench
