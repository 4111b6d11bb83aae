#include "data/packing.h"

#include <algorithm>

namespace stemma {
namespace {

void cut_text(int64_t begin, int64_t end, int64_t length, int64_t overlap,
              std::vector<TokenRange>& ranges) {
  for (; end - begin > overlap; begin += length - overlap)
    ranges.push_back({begin, std::min(begin + length, end)});
}

}  // namespace

std::vector<TokenRange> cut_sequences(std::span<const int64_t> bounds, Packing packing,
                                      int64_t length, int64_t overlap) {
  std::vector<TokenRange> ranges;
  if (packing == Packing::join) {
    cut_text(bounds.front(), bounds.back(), length, overlap, ranges);
  } else {
    for (size_t i = 0; i + 1 < bounds.size(); ++i)
      cut_text(bounds[i], bounds[i + 1], length, overlap, ranges);
  }
  return ranges;
}

}  // namespace stemma
