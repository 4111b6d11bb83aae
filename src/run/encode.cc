#include "run/encode.h"

#include <algorithm>
#include <numeric>

namespace stemma {

void encode(Ctx& c, std::span<const int32_t> lengths,
            const std::function<void(Ctx&, std::span<const size_t>)>& work, int64_t shard_tokens) {
  // Longest first, so that the last shards to run are quick ones.
  std::vector<size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lengths[a] > lengths[b]; });
  // As many shards for each thread, of like size.
  const auto total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  const int64_t each = c.team->size() * shard_tokens;
  const int64_t shards = (total + each - 1) / each * c.team->size();
  const int64_t most = shards > 0 ? (total + shards - 1) / shards : 0;
  std::vector<size_t> cuts = {0};
  int64_t tokens = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const int64_t length = lengths[order[i]];
    if (tokens > 0 && tokens + length / 2 > most) {
      cuts.push_back(i);
      tokens = 0;
    }
    tokens += length;
  }
  if (!order.empty()) cuts.push_back(order.size());

  c.team->run(static_cast<int64_t>(cuts.size()) - 1, [&](int64_t shard) {
    const size_t begin = cuts[static_cast<size_t>(shard)],
                 end = cuts[static_cast<size_t>(shard) + 1];
    Ctx own = c;
    work(own, std::span(order).subspan(begin, end - begin));
  });
}

}  // namespace stemma
