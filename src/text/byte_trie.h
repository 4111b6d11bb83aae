// A set of byte strings with ids, for finding all of them that a text begins with: a double array.
// Thread safety: a const ByteTrie may be read from many threads.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace stemma {

class ByteTrie {
 public:
  // Of two equal strings the later one counts; empty ones are left out.
  explicit ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries);

  // Calls found(length, id) for each string that text[at..] begins with, shortest first.
  template <class Found>
  void prefixes(std::string_view text, size_t at, Found found) const {
    uint32_t node = 0;
    for (size_t i = at; i < text.size(); ++i) {
      const uint32_t next = units_[node].base + static_cast<uint8_t>(text[i]);
      if (units_[next].parent != node) return;
      node = next;
      if (units_[node].id >= 0) found(i + 1 - at, units_[node].id);
    }
  }

 private:
  static constexpr uint32_t kFree = ~0u;
  struct Unit {
    uint32_t base = 0, parent = kFree;  // children are at base + byte
    int32_t id = -1;
  };
  uint32_t find_base(const std::vector<uint8_t>& labels);

  std::vector<Unit> units_;
  // From 257 on, where any label can have its unit.
  size_t first_free_ = 257;   // no free unit is before it
  size_t next_search_ = 257;  // where places for several labels are looked for
  size_t end_ = 257;          // no taken unit is behind it
};

}  // namespace stemma
