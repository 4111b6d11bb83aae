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

}  // namespace stemma
