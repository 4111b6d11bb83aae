// Pool: recycles the buffers of tensors by size class, so that a steady step takes its memory from
// here and not from the system. Buffers are 64-byte aligned; their contents are indeterminate.
// Thread safety: any thread may allocate and release. A buffer may outlive its Pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace stemma {

using Buffer = std::shared_ptr<std::byte>;

class Pool {
 public:
  Pool();
  Buffer allocate(size_t bytes);
  // Bytes handed out now, and the most there ever were at once.
  int64_t bytes_in_use() const;
  int64_t peak_bytes() const;
  void reset_peak();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace stemma
