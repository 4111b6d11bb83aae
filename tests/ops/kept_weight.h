// A Weight of loose tensors that outlives the backward pass, as a model's does.
#pragma once

#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "ops/weight.h"

namespace stemma::ops_test {

// Slices as (value, bias) pairs; an undefined bias stands for none.
inline const Weight& kept_weight(const std::vector<std::pair<Tensor, Tensor>>& slices) {
  static std::deque<std::pair<std::deque<Tensor>, std::optional<Weight>>> weights;
  auto& [tensors, weight] = weights.emplace_back();
  std::vector<Weight::Slice> list;
  for (const auto& [value, bias] : slices) {
    const Tensor& w = tensors.emplace_back(value);
    list.push_back({"slice", w.extent(0), &w, &tensors.emplace_back(bias)});
  }
  return weight.emplace(slices[0].first.extent(1), std::move(list));
}

}  // namespace stemma::ops_test
