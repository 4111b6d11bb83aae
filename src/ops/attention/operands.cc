#include "ops/attention/operands.h"

namespace stemma::tiled {

int64_t strips(const Problem& p, const Sequence& s) {
  const int64_t per_head = (s.queries + kStrip - 1) / kStrip;
  return s.queries == 1 ? (p.group() + kStrip - 1) / kStrip : per_head * p.group();
}

Strip strip(const Problem& p, const Sequence& s, int64_t kv_head, int64_t index) {
  const int64_t head = kv_head * p.group();
  if (s.queries == 1) {
    const int64_t first = index * kStrip;
    return {head + first, 0, std::min(kStrip, p.group() - first), true};
  }
  const int64_t query = index / p.group() * kStrip;
  return {head + index % p.group(), query, std::min(kStrip, s.queries - query), false};
}

Seen::Seen(const Problem& p, const Sequence& s, size_t index, const Strip& strip)
    : strip_(strip), bits_(seen_bits(*p.mask, index)) {
  for (int64_t r = 0; r < strip.rows; ++r)
    rows_[r] = seen_interval(*p.mask, index, s.position(strip.query_of(r)), s.keys);
  const auto by_first = [](const Interval& a, const Interval& b) { return a.first < b.first; };
  const auto by_last = [](const Interval& a, const Interval& b) { return a.last < b.last; };
  const auto [least, most] = std::minmax_element(rows_, rows_ + strip.rows, by_first);
  const auto [shortest, longest] = std::minmax_element(rows_, rows_ + strip.rows, by_last);
  first_ = least->first, common_first_ = most->first;
  common_last_ = shortest->last, last_ = longest->last;
}

const uint64_t* Seen::block(int64_t begin) {
  if (bits_ == nullptr && common_first_ <= begin && common_last_ >= begin + kKeys) return nullptr;
  for (int64_t r = 0; r < strip_.rows; ++r) {
    const int64_t first = std::clamp<int64_t>(rows_[r].first - begin, 0, kKeys);
    const int64_t last = std::clamp<int64_t>(rows_[r].last - begin, 0, kKeys);
    uint64_t word = last - first >= 64 ? ~uint64_t{0}
                    : last <= first    ? 0
                                       : ((uint64_t{1} << (last - first)) - 1) << first;
    if (bits_ != nullptr) word &= bits_->at(strip_.query_of(r), begin / kKeys);
    words_[r] = word;
  }
  return words_;
}

BiasRows::BiasRows(const Problem& p, const Sequence& s, const Strip& strip)
    : p_(p),
      s_(s),
      strip_(strip),
      has_{p.distance_bias.values != nullptr, p.key_bias.values != nullptr},
      rows_(strip.rows) {
  for (int64_t r = 0; r < rows_; ++r) {
    if (has_[0])
      origins_[0][r] = p.distance_bias.at(strip.head_of(r), -s.position(strip.query_of(r)));
    if (has_[1]) origins_[1][r] = p.key_bias.at(strip.head_of(r), s.first_key);
  }
}

void pick_elements(const Sequence& s, const PairBias& bias, int64_t row_stride, int64_t query,
                   int64_t begin, Picked& out) {
  out.keys = std::min(kKeys, s.keys - begin);
  const int64_t key_stride = bias.of_key ? row_stride : 0;
  if (bias.column_of != nullptr) {
    const int32_t* columns = bias.column_of + bias.origin + begin - s.position(query);
    for (int64_t j = 0; j < out.keys; ++j)
      out.index[j] = static_cast<int32_t>(columns[j] + j * key_stride);
  } else {
    const int32_t own = bias.query_segment[s.first_query + query];
    const int32_t* segments = bias.key_segment + s.first_key + begin;
    for (int64_t j = 0; j < out.keys; ++j)
      out.index[j] = static_cast<int32_t>((segments[j] != own) + j * key_stride);
  }
  std::fill(out.index + out.keys, out.index + kKeys, 0);
}

Terms BiasRows::terms(const uint64_t* seen, int64_t begin, float cap, float* pairs) {
  Picked picked;
  for (size_t i = 0; i < p_.pair_bias.size(); ++i) {
    const PairBias& bias = p_.pair_bias[i];
    for (int64_t r = 0; r < rows_; ++r) {
      const int64_t query = strip_.query_of(r);
      pick_elements(s_, bias, bias.row_stride, query, begin, picked);
      const int64_t row = bias.of_key ? s_.first_key + begin : s_.first_query + query;
      gather_row(bias.row(row, strip_.head_of(r)), picked.index, round_up(picked.keys, 16), kLog2E,
                 i > 0, pairs + r * kKeys);
    }
  }
  for (int i = 0; i < 2; ++i)
    for (int64_t r = 0; has_[i] && r < rows_; ++r) at_[i][r] = origins_[i][r] + begin;
  return {seen, has_[0] ? at_[0] : nullptr, has_[1] ? at_[1] : nullptr,
          p_.pair_bias.empty() ? nullptr : pairs, cap};
}

int64_t piece_of(const Problem& p, int64_t tasks) {
  constexpr int64_t kPieceWork = 1 << 20;  // multiply-adds
  int64_t work = 0;
  for (const Sequence& s : p.sequences) work += s.queries * s.keys * p.heads * (p.d + p.dv);
  const int64_t pieces = std::clamp<int64_t>(work / kPieceWork, 1, std::max<int64_t>(1, tasks));
  return (tasks + pieces - 1) / pieces;
}

}  // namespace stemma::tiled
