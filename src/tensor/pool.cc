#include "tensor/pool.h"

#include <algorithm>
#include <array>
#include <bit>
#include <mutex>
#include <new>
#include <vector>

namespace stemma {
namespace {

constexpr std::align_val_t kAlignment{64};
constexpr size_t kSmallest = 256;

// Four classes to each power of two: at most a quarter is wasted.
size_t class_bytes(size_t bytes) {
  if (bytes <= kSmallest) return kSmallest;
  const size_t step = std::bit_floor(bytes - 1) / 4;
  return (bytes + step - 1) / step * step;
}

size_t class_index(size_t rounded) {
  const int log = std::bit_width(rounded) - 1;
  return static_cast<size_t>(log * 4) + ((rounded >> (log - 2)) & 3);
}

}  // namespace

struct Pool::State {
  std::mutex mutex;
  std::array<std::vector<std::byte*>, 256> free;
  int64_t in_use = 0, peak = 0;

  ~State() {
    for (auto& list : free)
      for (std::byte* p : list) ::operator delete(p, kAlignment);
  }
  std::byte* take(size_t rounded) {
    {
      std::lock_guard lock(mutex);
      in_use += static_cast<int64_t>(rounded);
      peak = std::max(peak, in_use);
      auto& list = free[class_index(rounded)];
      if (!list.empty()) {
        std::byte* p = list.back();
        list.pop_back();
        return p;
      }
    }
    return static_cast<std::byte*>(::operator new(rounded, kAlignment));
  }
  void give_back(std::byte* p, size_t rounded) {
    std::lock_guard lock(mutex);
    in_use -= static_cast<int64_t>(rounded);
    free[class_index(rounded)].push_back(p);
  }
};

Pool::Pool() : state_(std::make_shared<State>()) {}

Buffer Pool::allocate(size_t bytes) {
  const size_t rounded = class_bytes(bytes);
  std::byte* p = state_->take(rounded);
  return Buffer(p, [state = state_, rounded](std::byte* q) { state->give_back(q, rounded); });
}

int64_t Pool::bytes_in_use() const {
  std::lock_guard lock(state_->mutex);
  return state_->in_use;
}

int64_t Pool::peak_bytes() const {
  std::lock_guard lock(state_->mutex);
  return state_->peak;
}

void Pool::reset_peak() {
  std::lock_guard lock(state_->mutex);
  state_->peak = state_->in_use;
}

}  // namespace stemma
