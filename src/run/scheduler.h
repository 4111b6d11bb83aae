// Scheduler: the one loop that generates. Requests queue; a step makes one ragged batch of a chunk
// of prompt tokens and one token of every sequence that is being decoded, runs it, and samples
// where a sequence has come to its end. A sequence begins with the state of another that begins
// alike; or, where the model has an encoder, with its source, which is read whole. Where the
// state's budget is spent, states kept of finished sequences go first; then the request that came
// last gives its pages back and is computed again later. What a request yields depends on itself
// alone, bit for bit: not on other requests, on the size of chunks, on the budget, or on the order
// of arrival. Sources: Yu et al. 2022 (continuous batching); Agrawal et al. 2023 (chunked prefill
// beside decoding); Kwon et al. 2023 (preemption by recomputation). Thread safety: submit(),
// cancel() and close() may be called from any thread; everything else, and every callback, runs on
// the one thread that drives step(), run() or serve().
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "run/generate.h"

namespace stemma {

struct SchedulerOptions {
  int chunk = 512;       // most prompt tokens in a step; what is read whole may exceed it
  int max_running = 64;  // most sequences in a step
  int64_t state_bytes = StateStore::kUnlimited;
  int kept = 4;  // states of finished sequences, for requests that begin alike (the next turn)
};

struct Request {
  Ints prompt;
  GenerateOptions options;  // of one sequence: no beams
  // Which of the model's adapters, -1 for none; absent: the first, where the model has one.
  std::optional<int32_t> adapter = {};
  OnToken on_token = {};                        // may be empty
  std::function<void(Generated)> on_done = {};  // likewise; the last call for a request
};

class Scheduler {
 public:
  using Id = uint64_t;

  // `tokenizer` may be null: then there is no text, and no stop strings.
  Scheduler(const Ctx& c, const Model& model, const Tokenizer* tokenizer,
            const SchedulerOptions& options = {});
  ~Scheduler();

  // Errors of the request itself (no prompt, ids outside the vocabulary) are thrown here.
  Id submit(Request request);
  // Ends a request with finish_reason "cancelled"; nothing where it has ended.
  void cancel(Id id);
  // serve() returns when all that was submitted is done.
  void close();

  // One forward at most. False where there was nothing to do.
  bool step();
  // Steps until nothing is left.
  void run() {
    while (step()) {
    }
  }
  // Steps and waits for requests until closed.
  void serve();

  int64_t state_bytes() const { return state_.bytes(); }
  // Tokens that went through the model so far.
  int64_t tokens_computed() const { return tokens_computed_; }

 private:
  struct Task;
  using Tasks = std::deque<std::unique_ptr<Task>>;
  struct Kept {
    SeqId seq;
    int32_t adapter;
    Ints tokens;
  };

  void take_in();
  void admit();
  // What a step computes.
  struct Plan {
    Batch batch;
    std::vector<Task*> sampled;
    Ints rows;  // of the batch: the last one of each that is sampled
    void clear();
  };
  void plan();
  int left(const Task& task) const;
  int unread(const Task& task) const;
  bool read_whole(const Task& task) const;
  bool make_room(size_t index, int tokens);
  bool share_prefix(size_t index);
  void preempt_last();
  void sample(const Tensor& logits, std::span<Task* const> tasks);
  void finish(Task& task, const char* reason);
  void drop_ended();

  Ctx c_;
  const Model& model_;
  const Tokenizer* tokenizer_;
  SchedulerOptions options_;
  StateStore state_;
  Tasks waiting_, running_;  // in order of arrival
  std::deque<Kept> kept_;    // the oldest first
  Plan plan_;                // of this step; what it holds has the room of the steps before
  SeqId next_seq_ = 0;
  int64_t tokens_computed_ = 0;

  std::mutex mutex_;  // of what follows
  std::condition_variable arrived_;
  Tasks submitted_;
  std::vector<Id> cancelled_;
  Id next_id_ = 0;
  bool closed_ = false;
};

}  // namespace stemma
