#include "nn/pass.h"

#include <cmath>

namespace stemma {

const RopeTables& Pass::rope(Ctx& c, const Rope& rope) {
  for (const auto& [spec, tables] : tables_)
    if (spec == rope) return tables;
  if (stream_.targets.empty())
    return tables_.emplace_back(rope, rope_tables(c, rope, stream_.positions)).second;
  Ints positions = stream_.positions;
  for (size_t s = 0; s + 1 < stream_.target_start.size(); ++s)
    for (int32_t i = stream_.target_start[s]; i < stream_.target_start[s + 1]; ++i)
      positions.push_back(stream_.positions[static_cast<size_t>(
          stream_.start[s] + stream_.targets[static_cast<size_t>(i)])]);
  return tables_.emplace_back(rope, rope_tables(c, rope, positions)).second;
}

Tensor Pass::sinusoids(Ctx& c, int low, int high, int64_t width, bool opposite) {
  for (const Sinusoids& made : sinusoids_)
    if (made.low == low && made.high == high && made.width == width && made.opposite == opposite)
      return made.table;
  const Tensor table = Tensor::empty(c, {high - low + 1, width});
  float* at = table.data<float>();
  const int64_t half = (width + 1) / 2;
  std::vector<double> frequency;
  for (int64_t k = 0; k < half; ++k)
    frequency.push_back(std::pow(1e4, -2.0 * static_cast<double>(k) / static_cast<double>(width)));
  for (int d = low; d <= high; ++d, at += width)
    for (int64_t k = 0; k < half; ++k) {
      const double angle = (opposite ? -d : d) * frequency[static_cast<size_t>(k)];
      at[k] = static_cast<float>(std::sin(angle));
      if (half + k < width) at[half + k] = static_cast<float>(std::cos(angle));
    }
  return sinusoids_.emplace_back(Sinusoids{low, high, width, opposite, table}).table;
}

const Sight& Pass::sight(Ctx& c, const Offsets& past) {
  if (sight_ && sight_->past == past) return *sight_;
  Sight sight;
  sight.past = past;
  const size_t sequences = static_cast<size_t>(stream_.sequences());
  const auto targets = static_cast<int64_t>(stream_.targets.size());
  std::vector<Bits> tokens, asked;
  std::vector<float> asks(static_cast<size_t>(targets), 1.0f);
  bool blind = false;
  for (size_t s = 0; s < sequences; ++s) {
    const int64_t n = stream_.start[s + 1] - stream_.start[s];
    const int64_t first = targets ? stream_.target_start[s] : 0,
                  last = targets ? stream_.target_start[s + 1] : 0;
    for (int64_t i = first; i < last; ++i) {
      const int32_t target = stream_.targets[static_cast<size_t>(i)];
      check(0 <= target && target < n, "[batch] target ", target, " of sequence ", s,
            ", which has ", n, " tokens");
      sight.target_position.push_back(past[s] + target);
    }
    if (!stream_.seen) continue;
    const Bits& seen = (*stream_.seen->sequences)[s];
    check(seen.queries() == n && seen.keys() == n, "[batch] what sequence ", s,
          " sees is a bitmap of ", seen.queries(), " x ", seen.keys(), "; it has ", n, " tokens");
    const auto copy = [&](int64_t token, Bits& to, int64_t row) {
      int64_t shown = stream_.reach.empty() ? past[s] : stream_.reach[s];
      for (int64_t j = past[s] - shown; j < past[s]; ++j) to.show(row, j);
      for (int64_t j = 0; j < n; ++j)
        if (seen.at(token, j / 64) >> j % 64 & 1) to.show(row, past[s] + j), ++shown;
      return shown > 0;
    };
    Bits& own = tokens.emplace_back(n, past[s] + n);
    for (int64_t i = 0; i < n; ++i) {
      copy(i, own, i);
      own.show(i, past[s] + i);
    }
    Bits& other = asked.emplace_back(last - first, past[s] + n);
    for (int64_t i = first; i < last; ++i) {
      if (copy(stream_.targets[static_cast<size_t>(i)], other, i - first)) continue;
      for (int64_t j = 0; j < n; ++j) other.show(i - first, j);
      asks[static_cast<size_t>(i)] = 0, blind = true;
    }
  }
  if (stream_.seen) {
    sight.tokens = Bitmap(std::move(tokens));
    if (targets) sight.targets = Bitmap(std::move(asked));
  }
  if (blind) sight.asks = Tensor::from<float>(c, asks, {targets, 1, 1});
  return sight_.emplace(std::move(sight));
}

}  // namespace stemma
