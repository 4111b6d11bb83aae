#include "nn/adapter.h"

#include <algorithm>
#include <cmath>

#include "ops/low_rank.h"

namespace stemma {

double LoraSpec::scale(int64_t rank_of_pair) const {
  const auto r = static_cast<double>(rank_of_pair);
  return alpha / (rank_stabilised ? std::sqrt(r) : r);
}

const Adapter::Pair& Adapter::add(const Weight& weight, size_t slice, int64_t rank) {
  check(rank > 0 && slice < weight.slices().size(), "[adapter] rank ", rank, " for slice ", slice,
        " of a weight of ", weight.slices().size());
  const Weight::Slice& to = weight.slices()[slice];
  Pair pair{.weight = &weight, .slice = slice, .column = 0, .a = nullptr, .b = nullptr, .scale = 0};
  for (size_t i = 0; i < slice; ++i) pair.column += weight.slices()[i].rows;
  const double bound = 1 / std::sqrt(static_cast<double>(weight.width()));
  pair.a = &params_.declare(to.name + ".lora_A", {rank, weight.width()}, Init::uniform(bound));
  pair.b = &params_.declare(to.name + ".lora_B", {to.rows, rank}, Init::constant(0));
  pair.scale = static_cast<float>(spec_.scale(rank));
  by_weight_[&weight].push_back(pairs_.size());
  return pairs_.emplace_back(pair);
}

Tensor Adapter::add_to(Ctx& c, const Weight& weight, const Tensor& x, const Tensor& y,
                       int64_t begin, int64_t end) const {
  Tensor sum = y;
  if (const auto found = by_weight_.find(&weight); found != by_weight_.end())
    for (size_t i : found->second) {
      const Pair& pair = pairs_[i];
      sum = add_low_rank(c, sum, x, pair.a->value, pair.b->value,
                         {begin, end, pair.column, pair.scale});
    }
  return sum;
}

AdapterRows::AdapterRows(const Batch& batch, const Stream& stream, const Adapters& adapters,
                         std::pmr::memory_resource* memory)
    : runs_(memory) {
  const auto& start = stream.start;
  const size_t sequences = start.size() - 1;
  check(batch.adapter.empty() || batch.adapter.size() == sequences, "[batch] ",
        batch.adapter.size(), " adapters for ", sequences,
        " sequences; there must be one for each");
  if (adapters.empty()) {
    for (int32_t which : batch.adapter)
      check(which < 0, "[batch] adapter ", which, " of a model that has none");
    return;
  }
  // The rows of tokens, then those of targets, then those of memory, each by sequence.
  const auto add = [&](const Ints& offsets) {
    for (size_t s = 0; s < sequences && !offsets.empty(); ++s) {
      const int32_t which = batch.adapter.empty() ? 0 : batch.adapter[s];
      check(which < static_cast<int32_t>(adapters.size()), "[batch] sequence ", s,
            " asks for adapter ", which, " of ", adapters.size());
      if (which < 0) continue;
      const Adapter* adapter = adapters[static_cast<size_t>(which)].get();
      const int64_t begin = rows_ + offsets[s], end = rows_ + offsets[s + 1];
      if (!runs_.empty() && runs_.back().adapter == adapter && runs_.back().end == begin)
        runs_.back().end = end;
      else
        runs_.push_back({adapter, begin, end});
    }
    if (!offsets.empty()) rows_ += offsets.back();
  };
  add(start);
  add(stream.target_start);
  add(batch.memory.start);
}

AdapterRows AdapterRows::of_all(int64_t rows) const {
  AdapterRows out(runs_.get_allocator().resource());
  out.rows_ = rows;
  if (runs_.empty()) return out;
  check(runs_.size() == 1 && runs_[0].begin == 0 && runs_[0].end == rows_,
        "[batch] sequences with and without an adapter share a table of positions; run them apart");
  out.runs_.push_back({runs_[0].adapter, 0, rows});
  return out;
}

bool AdapterRows::reaches(const Weight& weight) const {
  return std::any_of(runs_.begin(), runs_.end(),
                     [&](const Run& run) { return run.adapter->reaches(weight); });
}

Tensor AdapterRows::add_to(Ctx& c, const Weight& weight, const Tensor& x, Tensor y) const {
  for (const Run& run : runs_)
    if (const int64_t end = std::min(run.end, x.extent(0)); run.begin < end)
      y = run.adapter->add_to(c, weight, x, y, run.begin, end);
  return y;
}

}  // namespace stemma
