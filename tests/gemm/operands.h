// What the tests of the matrix product share: operands behind which memory ends, and their making.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/rng.h"
#include "simd/isa.h"
#include "tensor/ctx.h"
#include "tensor/dtype.h"

namespace stemma {

// n elements that end where an unmapped page begins.
template <class T>
class Guarded {
 public:
  explicit Guarded(int64_t n) : n_(n) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t bytes = static_cast<size_t>(n) * sizeof(T);
    mapped_ = (bytes + page - 1) / page * page + page;
    base_ = static_cast<std::byte*>(
        mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + mapped_ - page, page, PROT_NONE);
    data_ = reinterpret_cast<T*>(base_ + mapped_ - page - bytes);
  }
  ~Guarded() { munmap(base_, mapped_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }
  int64_t size() const { return n_; }

 private:
  int64_t n_;
  size_t mapped_;
  std::byte* base_;
  T* data_;
};

inline float as_float(float x) { return x; }
inline float as_float(uint16_t bf16) { return widen_bf16(bf16); }
inline void set(float& to, float x) { to = x; }
inline void set(uint16_t& to, float x) { to = narrow_bf16(x); }

// Uniform in [-1, 1).
template <class T>
void fill(Guarded<T>& x, uint64_t seed) {
  const RngKey key(seed);
  for (int64_t i = 0; i < x.size(); ++i)
    set(x[i], static_cast<float>(key.uniform(static_cast<uint64_t>(i)) * 2 - 1));
}

struct Machine {
  explicit Machine(int threads) : team(threads) {}
  Team team;
  Pool pool;
  Ctx c{.team = &team, .pool = &pool};
};

// As the name of a test.
inline std::string level_name(Isa level) {
  std::string name = isa_name(level);
  for (char& ch : name)
    if (ch == '-') ch = '_';
  return name;
}

}  // namespace stemma
