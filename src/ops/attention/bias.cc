#include "ops/attention/bias.h"

#include <algorithm>
#include <cmath>

namespace stemma {
namespace {

// Truncation and order of operations as in transformers, all in f32.
int64_t column(const T5Bucket& b, int64_t distance) {
  int64_t base = 0, n = distance;
  int64_t buckets = b.buckets;
  if (b.bidirectional) {
    buckets /= 2;
    if (distance < 0) base = buckets;
    n = std::abs(distance);
  } else {
    n = std::max<int64_t>(n, 0);
  }
  const int64_t exact = buckets / 2;
  if (n < exact) return base + n;
  const float near = static_cast<float>(exact);
  const float log_ratio = std::log(static_cast<float>(n) / near) /
                          static_cast<float>(std::log(static_cast<double>(b.max_distance) / near));
  const auto far = static_cast<int64_t>(log_ratio * static_cast<float>(buckets - exact));
  return base + std::min(buckets - 1, exact + far);
}

int64_t column(const LogBucket& b, int64_t distance) {
  const int64_t middle = b.buckets / 2, n = std::abs(distance);
  int64_t bucket = n;
  if (n > middle) {
    const float mid = static_cast<float>(middle);
    const float ratio = std::log(static_cast<float>(n) / mid) /
                        std::log(static_cast<float>(b.max_distance - 1) / mid);
    bucket = middle + static_cast<int64_t>(std::ceil(ratio * static_cast<float>(middle - 1)));
  }
  const int64_t columns = 2 * int64_t{b.buckets};
  return std::clamp<int64_t>((distance < 0 ? -bucket : bucket) + b.buckets, 0, columns - 1);
}

}  // namespace

int64_t index_columns(const BiasIndex& index) {
  if (const auto* d = std::get_if<Distance>(&index)) return int64_t{d->high} - d->low + 1;
  if (const auto* b = std::get_if<T5Bucket>(&index)) return b->buckets;
  if (const auto* b = std::get_if<LogBucket>(&index)) return 2 * int64_t{b->buckets};
  return std::holds_alternative<SameSegment>(index) ? 2 : 1;
}

bool is_distance_index(const BiasIndex& index) {
  return !std::holds_alternative<SameSegment>(index);
}

int64_t distance_column(const BiasIndex& index, int64_t distance) {
  if (const auto* d = std::get_if<Distance>(&index))
    return std::clamp<int64_t>(distance, d->low, d->high) - d->low;
  if (const auto* b = std::get_if<T5Bucket>(&index)) return column(*b, distance);
  if (const auto* b = std::get_if<LogBucket>(&index)) return column(*b, distance);
  return 0;
}

const Tensor& bias_values(const BiasTerm& term) {
  if (const auto* t = std::get_if<HeadTable>(&term)) return t->table;
  if (const auto* t = std::get_if<Slopes>(&term)) return t->slopes;
  if (const auto* t = std::get_if<QueryRows>(&term)) return t->rows;
  return std::get<KeyRows>(term).rows;
}

const BiasIndex* bias_index(const BiasTerm& term) {
  if (const auto* t = std::get_if<HeadTable>(&term)) return &t->index;
  if (const auto* t = std::get_if<QueryRows>(&term)) return &t->index;
  if (const auto* t = std::get_if<KeyRows>(&term)) return &t->index;
  return nullptr;
}

BiasTerm with_values(BiasTerm term, const Tensor& values) {
  if (auto* t = std::get_if<HeadTable>(&term)) t->table = values;
  if (auto* t = std::get_if<Slopes>(&term)) t->slopes = values;
  if (auto* t = std::get_if<QueryRows>(&term)) t->rows = values;
  if (auto* t = std::get_if<KeyRows>(&term)) t->rows = values;
  return term;
}

}  // namespace stemma
