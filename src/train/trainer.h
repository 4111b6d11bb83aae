// Trainer: the loop around train_step(): data, rates, logs, evaluation, checkpoints, resume.
// Everything a step depends on is a function of (recipe, data, step) and of the weights and moments
// that a checkpoint holds, so a run that was killed and resumed ends with the same bits as one that
// was not, at any number of threads.
// Errors: see recipe.h, setup.h and run_files.h; Code::kFailed for a loss that is not finite (what
// was saved before stays whole). Thread safety: one thread drives it; `stop` may be set by any.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string_view>

#include "train/plan.h"
#include "train/run_files.h"
#include "train/setup.h"
#include "train/step.h"

namespace stemma {

// Hears what happens. All calls come from the thread that drives the trainer.
class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  virtual void note(std::string_view) {}
  // After every step.
  struct Progress {
    int64_t step = 0, steps = 0;
    double loss = 0, lr = 0, tok_s = 0, share_of_peak = 0, seconds_left = 0;
  };
  virtual void progress(const Progress&) {}
  // What went to metrics.jsonl: every log_every steps, and after each evaluation.
  virtual void metric(const Metric&) {}
  virtual void saved(const std::filesystem::path&) {}
};

class Trainer {
 public:
  // Reads what the recipe names and checks that it fits together; writes nothing. With `resume` the
  // run goes on from the newest checkpoint in recipe.out, or from the start where there is none.
  Trainer(Ctx& c, Recipe recipe, bool resume);

  const Recipe& recipe() const { return recipe_; }
  const Setup& setup() const { return setup_; }
  const Plan& plan() const { return plan_; }
  // Where the run stands; the checkpoint it came from, if any.
  const RunState& state() const { return state_; }
  const std::optional<std::filesystem::path>& resumed_from() const { return resumed_from_; }
  // The most memory that run() held, in bytes: what plan().memory() foretold.
  int64_t peak_memory() const { return c_.pool->peak_bytes(); }

  // Trains to recipe.steps, or until `stop`: the step in progress is then finished and saved.
  // True if the run is complete.
  bool run(TrainObserver& observer, const std::atomic<bool>& stop);

 private:
  struct Clock {
    double seconds = 0;  // spent in steps since the last line of the log
    int64_t tokens = 0;
    double flops = 0;
  };
  // `generator` is the optimiser of that model, where there is one.
  StepResult advance(Optimizer& optimizer, Optimizer* generator, double lr, Clock& clock);
  double validation_loss();
  void look_at_first_loss(TrainObserver& observer, double loss) const;
  Metric metric(std::string_view split, double loss) const;
  void save(TrainObserver& observer, const Optimizer& optimizer, const Optimizer* generator,
            const MetricsLog& log);

  Ctx c_;
  Recipe recipe_;
  Schedule schedule_;
  std::optional<std::filesystem::path> resumed_from_;
  Setup setup_;
  Plan plan_;
  RunState state_;
};

}  // namespace stemma
