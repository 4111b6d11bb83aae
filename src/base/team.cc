#include "base/team.h"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace stemma {
namespace {

thread_local bool inside_region = false;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Some tens of microseconds of waiting before a thread goes to sleep.
constexpr int kSpins = 1000;

template <class Ready>
bool spin_until(Ready ready) {
  for (int i = 0; i < kSpins; ++i) {
    if (ready()) return true;
    relax();
  }
  return ready();
}

}  // namespace

// A run is a room with a door. The caller puts the job inside, opens the door, and works. Workers
// who come while it is open step in and help; the caller then closes the door and waits for those
// inside, and for nobody else: a worker that was asleep, or has no core, delays no run.
struct Team::State {
  struct Job {
    void (*call)(void*, int64_t);
    void* fn;
    int64_t chunks;
  };
  static constexpr uint32_t kOpen = 1u << 31;  // the other bits count who is inside

  std::mutex mutex;
  std::condition_variable wake, left;
  std::vector<std::thread> workers;
  Job job{};  // written while the door is closed and nobody inside
  std::atomic<uint32_t> door{0};
  std::atomic<int64_t> next{0};   // chunk
  std::atomic<uint64_t> runs{0};  // announced so far
  std::atomic<bool> stop{false};
  std::exception_ptr error;  // the first; under the mutex

  void work() {
    inside_region = true;
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < job.chunks;) {
      try {
        job.call(job.fn, i);
      } catch (...) {
        std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
        next.store(job.chunks, std::memory_order_relaxed);
      }
    }
    inside_region = false;
  }

  void loop() {
    uint64_t seen = 0;
    const auto called = [&] { return runs.load(std::memory_order_acquire) != seen; };
    while (true) {
      if (!spin_until(called)) {
        std::unique_lock lock(mutex);
        wake.wait(lock, called);
      }
      seen = runs.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_acquire)) return;
      if (door.fetch_add(1, std::memory_order_acq_rel) & kOpen) work();
      // The last to leave a closed room may be the one the caller waits for.
      if (door.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::lock_guard lock(mutex);
        left.notify_one();
      }
    }
  }

  void announce() {
    {
      std::lock_guard lock(mutex);
      runs.fetch_add(1, std::memory_order_release);
    }
    wake.notify_all();
  }

  void close_and_wait() {
    door.fetch_and(~kOpen, std::memory_order_acq_rel);
    const auto empty = [&] { return door.load(std::memory_order_acquire) == 0; };
    if (spin_until(empty)) return;
    std::unique_lock lock(mutex);
    left.wait(lock, empty);
  }
};

Team::Team(int threads) : state_(std::make_unique<State>()) {
  if (threads <= 0) threads = static_cast<int>(std::thread::hardware_concurrency());
  for (int i = 1; i < threads; ++i) state_->workers.emplace_back([this] { state_->loop(); });
}

Team::~Team() {
  state_->stop.store(true, std::memory_order_release);
  state_->announce();
  for (auto& worker : state_->workers) worker.join();
}

int Team::size() const { return static_cast<int>(state_->workers.size()) + 1; }

void Team::run_erased(int64_t chunks, void (*call)(void*, int64_t), void* fn) {
  if (chunks <= 0) return;
  State& s = *state_;
  if (inside_region || s.workers.empty() || chunks == 1) {
    for (int64_t i = 0; i < chunks; ++i) call(fn, i);
    return;
  }
  s.job = {call, fn, chunks};
  s.next.store(0, std::memory_order_relaxed);
  s.door.fetch_or(State::kOpen, std::memory_order_release);
  s.announce();
  s.work();
  s.close_and_wait();
  // Who added an error has left, and was waited for.
  if (s.error) {
    std::exception_ptr error;
    std::swap(error, s.error);
    std::rethrow_exception(error);
  }
}

}  // namespace stemma
