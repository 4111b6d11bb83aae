#include "ops/attention/lines.h"

#include <algorithm>
#include <cmath>

namespace stemma::tiled {
namespace {

bool is_key_line(const BiasTerm& term) { return std::holds_alternative<KeyRows>(term); }

// The factor of a term's values at a distance p - j, and where they lie: [n,H] from `column` on.
struct Entry {
  int64_t column;
  float factor;
};
Entry entry_of(const BiasTerm& term, int64_t distance) {
  if (const auto* table = std::get_if<HeadTable>(&term))
    return {distance_column(table->index, distance), 1};
  return {0, -static_cast<float>(std::abs(distance))};
}

bool any_wanted(const AttentionCall& p, const Grads& g, bool key_lines) {
  for (size_t i = 0; i < p.plan.bias.size(); ++i)
    if (is_key_line(p.bias(i)) == key_lines && g.wants(bias_values(p.bias(i)))) return true;
  return false;
}

}  // namespace

const char* BiasLines::why_not(const AttentionCall& p) {
  for (const BiasTerm& term : p.plan.bias) {
    if (std::holds_alternative<QueryRows>(term)) return "a bias has rows of its own a query";
    const BiasIndex* index = bias_index(term);
    if (index != nullptr && !is_distance_index(*index)) return "a bias asks for segments";
    if (is_key_line(term) && !std::holds_alternative<One>(*index))
      return "a bias has several columns a key";
  }
  return nullptr;
}

BiasLines::BiasLines(Ctx& c, const AttentionCall& p) {
  for (size_t s = 0; s < p.sequences(); ++s) {
    farthest_ = std::max(farthest_, p.keys(s) - 1);
    ahead_ = std::max(ahead_, p.queries(s));
  }
  const int64_t heads = p.heads();
  for (size_t i = 0; i < p.plan.bias.size(); ++i) {
    const BiasTerm term = p.bias(i);
    const float* values = bias_values(term).data<float>();
    if (is_key_line(term)) {
      const int64_t keys = p.plan.k_start.back();
      if (!key_) key_ = Tensor::zeros(c, {heads, keys + kKeys});
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t j = 0; j < keys; ++j)
          key_.data<float>()[h * key_.extent(1) + j] += values[j * heads + h] * kLog2E;
    } else {
      if (!distance_) distance_ = Tensor::zeros(c, {heads, farthest_ + ahead_ + kKeys});
      for (int64_t r = -farthest_; r < ahead_; ++r) {
        const Entry entry = entry_of(term, -r);
        for (int64_t h = 0; h < heads; ++h)
          distance_.data<float>()[h * distance_.extent(1) + farthest_ + r] +=
              values[entry.column * heads + h] * entry.factor * kLog2E;
      }
    }
  }
}

Tensor BiasLines::distance_gradient(Ctx& c, const AttentionCall& p, const Grads& g) const {
  return any_wanted(p, g, false) ? Tensor::zeros(c, distance_.shape()) : Tensor();
}

Tensor BiasLines::key_gradient(Ctx& c, const AttentionCall& p, const Grads& g) const {
  return any_wanted(p, g, true) ? Tensor::zeros(c, key_.shape()) : Tensor();
}

void BiasLines::add_gradients(Ctx& c, const AttentionCall& p, const Tensor& distance,
                              const Tensor& key, Grads& g) const {
  const int64_t heads = p.heads();
  for (size_t i = 0; i < p.plan.bias.size(); ++i) {
    const BiasTerm term = p.bias(i);
    if (!g.wants(bias_values(term))) continue;
    float* to = g.into(c, bias_values(term)).data<float>();
    const Tensor& from = is_key_line(term) ? key : distance;
    for (int64_t h = 0; h < heads; ++h) {
      const float* line = from.data<float>() + h * from.extent(1);
      if (is_key_line(term))
        for (int64_t j = 0; j < p.plan.k_start.back(); ++j) to[j * heads + h] += line[j];
      else
        for (int64_t r = -farthest_; r < ahead_; ++r) {
          const Entry entry = entry_of(term, -r);
          to[entry.column * heads + h] += line[farthest_ + r] * entry.factor;
        }
    }
  }
}

}  // namespace stemma::tiled
