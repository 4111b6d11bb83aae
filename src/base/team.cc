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

// About 20 microseconds of waiting before a thread goes to sleep.
constexpr int kSpins = 2000;

}  // namespace

struct Team::State {
  struct Job {
    void (*call)(void*, int64_t);
    void* fn;
    int64_t chunks;
  };

  std::mutex mutex;
  std::condition_variable wake, done;
  std::vector<std::thread> workers;
  Job job{};
  std::atomic<uint64_t> generation{0};
  std::atomic<int64_t> next{0};
  std::atomic<int> busy{0};
  std::atomic<bool> stop{false};
  std::exception_ptr error;

  void work(const Job& j) {
    inside_region = true;
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < j.chunks;) {
      try {
        j.call(j.fn, i);
      } catch (...) {
        std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
        next.store(j.chunks, std::memory_order_relaxed);
      }
    }
    inside_region = false;
  }

  void loop() {
    uint64_t seen = 0;
    while (true) {
      for (int i = 0; i < kSpins && generation.load(std::memory_order_acquire) == seen; ++i)
        relax();
      if (generation.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return generation.load() != seen; });
      }
      ++seen;
      if (stop.load(std::memory_order_acquire)) return;
      work(job);
      if (busy.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::lock_guard lock(mutex);
        done.notify_one();
      }
    }
  }

  void announce() {
    {
      std::lock_guard lock(mutex);
      generation.fetch_add(1, std::memory_order_release);
    }
    wake.notify_all();
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
  s.busy.store(static_cast<int>(s.workers.size()), std::memory_order_relaxed);
  s.announce();
  s.work(s.job);
  for (int i = 0; i < kSpins && s.busy.load(std::memory_order_acquire) != 0; ++i) relax();
  if (s.busy.load(std::memory_order_acquire) != 0) {
    std::unique_lock lock(s.mutex);
    s.done.wait(lock, [&] { return s.busy.load() == 0; });
  }
  // Workers add errors under the mutex; all of them have left work() by now.
  if (s.error) {
    std::exception_ptr error;
    std::swap(error, s.error);
    std::rethrow_exception(error);
  }
}

}  // namespace stemma
