#include "ops/attention/lines.h"

#include <algorithm>
#include <cmath>

namespace stemma::tiled {
namespace {

bool is_key_line(const BiasTerm& term) {
  const auto* keys = std::get_if<KeyRows>(&term);
  return keys && std::holds_alternative<One>(keys->index);
}
bool is_distance_line(const BiasTerm& term) {
  return std::holds_alternative<HeadTable>(term) || std::holds_alternative<Slopes>(term);
}

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

using Kind = bool (*)(const BiasTerm&);
bool any_wanted(const AttentionCall& p, const Grads& g, Kind kind) {
  for (size_t i = 0; i < p.plan.bias.size(); ++i)
    if (kind(p.bias(i)) && g.wants(bias_values(p.bias(i)))) return true;
  return false;
}

}  // namespace

const char* BiasLines::why_not(const AttentionCall& p) {
  for (const BiasTerm& term : p.plan.bias) {
    const BiasIndex* index = bias_index(term);
    if (std::holds_alternative<HeadTable>(term) && !is_distance_index(*index))
      return "a bias has a table by segment";
  }
  return nullptr;
}

BiasLines::BiasLines(Ctx& c, const AttentionCall& p) : pairs_(c.pool), columns_(c.pool) {
  for (size_t s = 0; s < p.sequences(); ++s) {
    farthest_ = std::max(farthest_, p.keys(s) - 1);
    ahead_ = std::max(ahead_, p.plan.q_position.empty() ? p.queries(s) : p.keys(s));
  }
  const int64_t heads = p.heads();
  for (size_t i = 0; i < p.plan.bias.size(); ++i) {
    const BiasTerm term = p.bias(i);
    const float* values = bias_values(term).data<float>();
    if (is_key_line(term)) {
      const int64_t keys = p.plan.k_start.back();
      const Shape& stride = bias_values(term).strides();
      if (!key_) key_ = Tensor::zeros(c, {heads, keys + kKeys});
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t j = 0; j < keys; ++j)
          key_.data<float>()[h * key_.extent(1) + j] +=
              values[j * stride[0] + h * stride[1]] * kLog2E;
    } else if (is_distance_line(term)) {
      if (!distance_) distance_ = Tensor::zeros(c, {heads, farthest_ + ahead_ + kKeys});
      for (int64_t r = -farthest_; r < ahead_; ++r) {
        const Entry entry = entry_of(term, -r);
        for (int64_t h = 0; h < heads; ++h)
          distance_.data<float>()[h * distance_.extent(1) + farthest_ + r] +=
              values[entry.column * heads + h] * entry.factor * kLog2E;
      }
    } else {
      // The plan's own index, which lives as long as the call.
      add_pair(c, bias_values(term), std::holds_alternative<KeyRows>(term),
               *bias_index(p.plan.bias[i]));
    }
  }
}

void BiasLines::add_pair(Ctx& c, const Tensor& rows, bool of_key, const BiasIndex& index) {
  PairBias& pair = pairs_.emplace_back();
  pair = {.rows = rows.data<float>(),
          .row_stride = rows.strides()[0],
          .head_stride = rows.strides()[1],
          .of_key = of_key,
          .column_of = nullptr,
          .origin = farthest_,
          .query_segment = nullptr,
          .key_segment = nullptr};
  check(kKeys * pair.row_stride <= INT32_MAX, "[attention] ", rows.shape().to_string(),
        " rows of a bias are too wide");
  if (const auto* segments = std::get_if<SameSegment>(&index)) {
    pair.query_segment = segments->query.data(), pair.key_segment = segments->key.data();
    return;
  }
  PoolVector<int32_t>& columns = columns_.emplace_back(c.pool);
  columns.reserve(static_cast<size_t>(farthest_ + ahead_));
  for (int64_t r = -farthest_; r < ahead_; ++r)
    columns.push_back(static_cast<int32_t>(distance_column(index, -r)));
  pair.column_of = columns.data();
}

void BiasLines::set_pair_gradients(Ctx& c, const AttentionCall& p, Grads& g,
                                   SharedGradients& to) const {
  size_t pair = 0;
  for (size_t i = 0; i < p.plan.bias.size(); ++i) {
    const BiasTerm term = p.bias(i);
    if (is_key_line(term) || is_distance_line(term)) continue;
    const Tensor& rows = bias_values(term);
    to.pair_bias[pair++] = {g.wants(rows) ? g.into(c, rows).data<float>() : nullptr, rows.extent(1),
                            rows.extent(2)};
  }
}

Tensor BiasLines::distance_gradient(Ctx& c, const AttentionCall& p, const Grads& g) const {
  return any_wanted(p, g, is_distance_line) ? Tensor::zeros(c, distance_.shape()) : Tensor();
}

Tensor BiasLines::key_gradient(Ctx& c, const AttentionCall& p, const Grads& g) const {
  return any_wanted(p, g, is_key_line) ? Tensor::zeros(c, key_.shape()) : Tensor();
}

void BiasLines::add_gradients(Ctx& c, const AttentionCall& p, const Tensor& distance,
                              const Tensor& key, Grads& g) const {
  const int64_t heads = p.heads();
  for (size_t i = 0; i < p.plan.bias.size(); ++i) {
    const BiasTerm term = p.bias(i);
    if (!g.wants(bias_values(term)) || !(is_key_line(term) || is_distance_line(term))) continue;
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
