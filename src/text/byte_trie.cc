#include "text/byte_trie.h"

#include <algorithm>

namespace stemma {

ByteTrie::ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  units_.resize(1024);
  units_[0].parent = 0;
  struct Range {
    uint32_t node;
    size_t begin, end, depth;  // entries below the node, which share `depth` bytes
  };
  std::vector<Range> todo{{0, 0, entries.size(), 0}};
  std::vector<uint8_t> labels;
  while (!todo.empty()) {
    Range range = todo.back();
    todo.pop_back();
    for (; range.begin < range.end && entries[range.begin].first.size() == range.depth;
         ++range.begin)
      if (range.depth > 0) units_[range.node].id = entries[range.begin].second;
    if (range.begin == range.end) continue;
    const auto label = [&](size_t i) {
      return static_cast<uint8_t>(entries[i].first[range.depth]);
    };
    labels.clear();
    for (size_t i = range.begin; i < range.end; ++i)
      if (labels.empty() || labels.back() != label(i)) labels.push_back(label(i));
    const uint32_t base = units_[range.node].base = find_base(labels);
    for (const uint8_t l : labels) units_[base + l].parent = range.node;
    for (size_t i = range.begin; i < range.end;) {
      size_t end = i;
      while (end < range.end && label(end) == label(i)) ++end;
      todo.push_back({base + label(i), i, end, range.depth + 1});
      i = end;
    }
  }
}

// A place where the units of all labels are free. Leaves 256 units behind it, so that looking for
// any child stays inside. A single label takes the first free unit; several look at a few places
// from where the last such search gave up, and else go behind all that is taken.
uint32_t ByteTrie::find_base(const std::vector<uint8_t>& labels) {
  constexpr int kPlaces = 256;
  while (units_[first_free_].parent != kFree) ++first_free_;
  const auto fits = [&](size_t at) {
    const size_t base = at - labels[0];
    if (base + 512 > units_.size()) units_.resize(units_.size() * 2);
    return std::ranges::all_of(labels, [&](uint8_t l) { return units_[base + l].parent == kFree; });
  };
  size_t at = first_free_;
  if (labels.size() == 1) {
    while (!fits(at)) ++at;
  } else {
    at = std::max(at, next_search_);
    int places = 0;
    while (places < kPlaces && at < end_ && !fits(at)) ++at, ++places;
    if (places == kPlaces) {
      next_search_ = at;
      at = end_;
    }
    while (!fits(at)) ++at;
  }
  const size_t base = at - labels[0];
  end_ = std::max(end_, base + labels.back() + 1);
  return static_cast<uint32_t>(base);
}

}  // namespace stemma
