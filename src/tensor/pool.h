// Pool: recycles memory by size class, so that a steady step takes what it needs from here and not
// from the system. Tensors live in its buffers (64-byte aligned, contents indeterminate); as a
// std::pmr::memory_resource it also serves the containers that a step fills and drops again.
// Thread safety: any thread may allocate and release. A Buffer may outlive its Pool; what else was
// allocated must be given back before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <memory_resource>
#include <type_traits>
#include <vector>

namespace stemma {

using Buffer = std::shared_ptr<std::byte>;

class Pool : public std::pmr::memory_resource {
 public:
  Pool();
  // Takes buffers from `source` instead: memory that watches its bounds, for tests.
  using Source = std::function<Buffer(size_t bytes)>;
  explicit Pool(Source source);
  ~Pool() override;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  Buffer allocate(size_t bytes);
  // What a buffer of so many bytes takes: its size class.
  static int64_t footprint(int64_t bytes);

  // Bytes handed out now, and the most there ever were at once.
  int64_t bytes_in_use() const;
  int64_t peak_bytes() const;
  void reset_peak();

 private:
  void* do_allocate(size_t bytes, size_t alignment) override;
  void do_deallocate(void* p, size_t bytes, size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }
  struct State;
  State* state_;
  Source source_;
};

// Memory for a PoolVector. Unlike with std::pmr's allocator, copies lie in the memory of the
// original.
template <class T>
struct PoolAllocator {
  using value_type = T;
  using propagate_on_container_copy_assignment = std::true_type;
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;

  PoolAllocator() = default;
  PoolAllocator(std::pmr::memory_resource* m) : memory(m) {}  // NOLINT: what it stands for
  template <class U>
  PoolAllocator(const PoolAllocator<U>& o) : memory(o.memory) {}  // NOLINT: one and the same

  T* allocate(size_t n) { return static_cast<T*>(memory->allocate(n * sizeof(T), alignof(T))); }
  void deallocate(T* p, size_t n) { memory->deallocate(p, n * sizeof(T), alignof(T)); }
  bool operator==(const PoolAllocator& o) const { return memory == o.memory; }

  std::pmr::memory_resource* memory = std::pmr::new_delete_resource();
};

// A vector that lies in a pool, and may not outlive it: PoolVector<int> v(c.pool). Made without
// one, it lies in the system's memory.
template <class T>
using PoolVector = std::vector<T, PoolAllocator<T>>;

}  // namespace stemma
