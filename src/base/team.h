// Team: the program's own worker threads. Work is cut by the size of the problem, never by the
// number of threads, so that results do not depend on it.
// Thread safety: one thread drives a Team at a time. A run() inside a run() executes serially on
// the calling worker. Workers spin briefly, then sleep.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace stemma {

class Team {
 public:
  // `threads` counts the calling thread; 1 starts no workers. 0 means one per available core.
  explicit Team(int threads = 0);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const;

  // Calls fn(i) once for every i in [0, chunks), on any thread, in any order, and returns when all
  // are done. The first exception thrown by fn is rethrown here; chunks not yet started are
  // skipped.
  template <class F>
  void run(int64_t chunks, F&& fn) {
    using Fn = std::remove_reference_t<F>;
    run_erased(
        chunks, [](void* f, int64_t i) { (*static_cast<Fn*>(f))(i); },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

  // Cuts [0, n) into pieces of `grain` (the last one shorter) and calls fn(begin, end) for each.
  template <class F>
  void run_range(int64_t n, int64_t grain, F&& fn) {
    if (n <= 0) return;
    if (n <= grain) return fn(int64_t{0}, n);
    run((n + grain - 1) / grain, [&](int64_t i) {
      const int64_t begin = i * grain;
      fn(begin, begin + grain < n ? begin + grain : n);
    });
  }

 private:
  void run_erased(int64_t chunks, void (*call)(void*, int64_t), void* fn);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace stemma
