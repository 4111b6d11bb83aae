// A block is a head of 64 bytes and what a user sees behind it. The head of a Buffer's block holds
// its shared_ptr's control block, so that one trip to the pool brings both; a free block's holds
// the link to the next free one.
#include "tensor/pool.h"

#include <algorithm>
#include <array>
#include <bit>
#include <mutex>
#include <new>
#include <utility>

#include "base/error.h"

namespace stemma {
namespace {

constexpr size_t kHead = 64, kSmallest = 64;
constexpr std::align_val_t kAlignment{64};

// Eight classes to each power of two: at most an eighth is wasted.
size_t class_bytes(size_t bytes) {
  if (bytes <= kSmallest) return kSmallest;
  const size_t step = std::bit_floor(bytes - 1) / 8;
  return (bytes + step - 1) / step * step;
}

size_t class_index(size_t rounded) {
  const int log = std::bit_width(rounded) - 1;
  return static_cast<size_t>(log * 8) + ((rounded >> (log - 3)) & 7);
}

}  // namespace

struct Pool::State {
  struct Free {
    Free* next;
  };
  mutable std::mutex mutex;
  std::array<Free*, 512> free{};
  int64_t in_use = 0, peak = 0;
  int64_t holders = 1;  // the Pool and every block handed out

  ~State() {
    for (Free* list : free)
      while (list) ::operator delete(std::exchange(list, list->next), kAlignment);
  }

  void* take(size_t rounded) {
    {
      std::lock_guard lock(mutex);
      ++holders;
      in_use += static_cast<int64_t>(rounded);
      peak = std::max(peak, in_use);
      if (Free*& list = free[class_index(rounded)]) return std::exchange(list, list->next);
    }
    try {
      return ::operator new(kHead + rounded, kAlignment);
    } catch (const std::bad_alloc&) {
      std::lock_guard lock(mutex);
      --holders;
      in_use -= static_cast<int64_t>(rounded);
      fail(Code::kFailed, "[memory] the system has no further ", rounded, " bytes");
    }
  }
  void give_back(void* block, size_t rounded) {
    bool last;
    {
      std::lock_guard lock(mutex);
      in_use -= static_cast<int64_t>(rounded);
      Free*& list = free[class_index(rounded)];
      list = new (block) Free{list};
      last = --holders == 0;
    }
    if (last) delete this;
  }
  void release() {
    bool last;
    {
      std::lock_guard lock(mutex);
      last = --holders == 0;
    }
    if (last) delete this;
  }

  // Puts a shared_ptr's control block into the head of the block it owns; to free the one is to
  // give back the other.
  template <class T>
  struct InHead {
    using value_type = T;
    State* state;
    void* block;
    size_t rounded;
    InHead(State* s, void* b, size_t r) : state(s), block(b), rounded(r) {}
    template <class U>
    InHead(const InHead<U>& o) : state(o.state), block(o.block), rounded(o.rounded) {}
    T* allocate(size_t n) const {
      static_assert(sizeof(T) <= kHead && alignof(T) <= kHead);
      check(n == 1, "[memory] a head holds one control block");
      return static_cast<T*>(block);
    }
    void deallocate(T*, size_t) const { state->give_back(block, rounded); }
    template <class U>
    bool operator==(const InHead<U>& o) const {
      return block == o.block;
    }
  };
};

Pool::Pool() : Pool(Source()) {}
Pool::Pool(Source source) : state_(new State), source_(std::move(source)) {}
Pool::~Pool() { state_->release(); }

Buffer Pool::allocate(size_t bytes) {
  if (source_) return source_(bytes);
  const size_t rounded = class_bytes(bytes);
  void* block = state_->take(rounded);
  const auto keep = [](std::byte*) {};  // the allocator gives the block back
  return Buffer(static_cast<std::byte*>(block) + kHead, keep,
                State::InHead<std::byte>(state_, block, rounded));
}

void* Pool::do_allocate(size_t bytes, size_t alignment) {
  check(alignment <= kHead, "[memory] alignment of ", alignment, "; at most ", kHead);
  return static_cast<std::byte*>(state_->take(class_bytes(bytes))) + kHead;
}

void Pool::do_deallocate(void* p, size_t bytes, size_t) {
  state_->give_back(static_cast<std::byte*>(p) - kHead, class_bytes(bytes));
}

int64_t Pool::footprint(int64_t bytes) {
  return static_cast<int64_t>(class_bytes(static_cast<size_t>(bytes)));
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
