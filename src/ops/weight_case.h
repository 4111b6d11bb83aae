// A Weight of loose tensors, for the cases of ops that take one: it lives as long as the tape of
// the call, as a model's does.
#pragma once

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "ops/weight.h"

namespace stemma {

// Slices as (value, bias) pairs; an undefined bias stands for none.
inline std::shared_ptr<const Weight> taped_weight(
    Ctx& c, const std::vector<std::pair<Tensor, Tensor>>& slices) {
  struct Kept {
    std::deque<Tensor> tensors;
    std::unique_ptr<Weight> weight;
  };
  const auto kept = std::make_shared<Kept>();
  std::vector<Weight::Slice> list;
  for (const auto& [value, bias] : slices) {
    const Tensor& w = kept->tensors.emplace_back(value);
    list.push_back({"slice", w.extent(0), &w, &kept->tensors.emplace_back(bias)});
  }
  kept->weight = std::make_unique<Weight>(slices[0].first.extent(1), std::move(list));
  // A node without outputs, below the call's own: it goes after that has been replayed.
  if (c.tape)
    c.tape->record("keep", std::span<const Tensor>(),
                   [kept](Ctx&, std::span<const Tensor>, Grads&) {});
  return {kept, kept->weight.get()};
}

// Of one slice, whose value is a loose tensor.
inline std::shared_ptr<const Weight> taped_weight(Ctx& c, int64_t width, Weight::Slice slice) {
  struct Kept {
    Tensor value;
    std::unique_ptr<Weight> weight;
  };
  const auto kept = std::make_shared<Kept>();
  kept->value = *slice.value;
  slice.value = &kept->value;
  kept->weight = std::make_unique<Weight>(width, std::vector{std::move(slice)});
  if (c.tape)
    c.tape->record("keep", std::span<const Tensor>(),
                   [kept](Ctx&, std::span<const Tensor>, Grads&) {});
  return {kept, kept->weight.get()};
}

}  // namespace stemma
