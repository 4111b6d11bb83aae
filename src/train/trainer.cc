#include "train/trainer.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/file.h"
#include "train/curve.h"
#include "train/replaced.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

// A checkpoint holds text beside its tensors.
constexpr double kTextBytes = 1 << 20;

// Who sees whom, from the order of prediction.
void set_order(Stream& stream, TokenBatch&& batch) {
  stream.targets = std::move(batch.targets);
  stream.target_start = std::move(batch.target_start);
  std::vector<Bits> seen;
  for (size_t s = 0; s + 1 < stream.start.size(); ++s) {
    const int64_t n = stream.start[s + 1] - stream.start[s];
    const auto order = std::span(batch.order)
                           .subspan(static_cast<size_t>(stream.start[s]), static_cast<size_t>(n));
    std::vector<uint8_t> is_target(static_cast<size_t>(n));
    for (int32_t i = stream.target_start[s]; i < stream.target_start[s + 1]; ++i)
      is_target[static_cast<size_t>(stream.targets[static_cast<size_t>(i)])] = 1;
    Bits& bits = seen.emplace_back(n, n);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j)
        if (sees(order, is_target, i, j)) bits.show(i, j);
  }
  stream.seen = Bitmap(std::move(seen));
}

TrainPart part_of(TokenBatch&& batch) {
  TrainPart part;
  part.batch.main.ids = std::move(batch.ids);
  part.batch.main.positions = std::move(batch.pos);
  part.batch.main.start = std::move(batch.start);
  part.batch.main.types = std::move(batch.types);
  part.batch.main.prefix = std::move(batch.prefix);
  part.labels = std::move(batch.labels);
  part.sentence_labels = std::move(batch.sentence_labels);
  if (!batch.order.empty()) set_order(part.batch.main, std::move(batch));
  if (!batch.source_start.empty()) {
    Stream& source = part.batch.source.emplace();
    for (size_t s = 0; s + 1 < batch.source_start.size(); ++s)
      source.append(
          std::span(batch.source_ids)
              .subspan(static_cast<size_t>(batch.source_start[s]),
                       static_cast<size_t>(batch.source_start[s + 1] - batch.source_start[s])));
  }
  return part;
}

// The nearest directory above `path` that is there.
fs::path standing_parent(fs::path path) {
  std::error_code ignored;
  path = fs::absolute(path, ignored);
  while (!fs::exists(path, ignored) && path.has_relative_path()) path = path.parent_path();
  return path;
}

void check_out(const Recipe& recipe, const Plan& plan) {
  const fs::path place = standing_parent(recipe.out);
  std::error_code ignored;
  check(fs::is_directory(place, ignored), "[train] out: ", place.string(), " is not a directory");
  check(::access(place.c_str(), W_OK) == 0, "[train] out: ", place.string(),
        " cannot be written to");
  std::error_code unknown;
  const fs::space_info space = fs::space(place, unknown);
  check(unknown || static_cast<double>(space.available) >=
                       static_cast<double>(plan.checkpoint) + kTextBytes,
        "[train] a checkpoint takes ", plan.checkpoint / 1000000 + 1, " MB and ", place.string(),
        " has only ", space.available / 1000000, " MB left");
}

std::optional<fs::path> start_from(const Recipe& recipe, bool resume) {
  std::optional<fs::path> newest = newest_checkpoint(recipe.out);
  if (newest && !resume)
    fail(Code::kUsage, "[train] ", newest->string(),
         " is there from an earlier run: go on with --resume, or choose another out");
  return newest;
}

void check_same_run(const Recipe& recipe, const fs::path& checkpoint) {
  const std::vector<std::string> keys = conflicts(recipe, read_recipe(checkpoint / "recipe.toml"));
  if (keys.empty()) return;
  std::string list;
  for (const std::string& key : keys) list += cat(list.empty() ? "" : ", ", key);
  fail(Code::kUsage, "[resume] ", checkpoint.string(), " was made by a recipe that differs in ",
       list, ": it cannot be continued by this one");
}

Recipe with_rate(Recipe recipe) {
  constexpr double kFromScratch = 1e-3, kFromCheckpoint = 5e-5;
  double& lr = recipe.optimizer.lr;
  if (lr == 0) lr = from_scratch(recipe) ? kFromScratch : kFromCheckpoint;
  return recipe;
}

}  // namespace

Trainer::Trainer(Ctx& c, Recipe recipe, bool resume)
    : c_(c),
      recipe_(with_rate(std::move(recipe))),
      schedule_(recipe_.complete_schedule()),
      resumed_from_(start_from(recipe_, resume)),
      setup_(set_up(c, recipe_, resumed_from_)) {
  if (resumed_from_) {
    check_same_run(recipe_, *resumed_from_);
    state_ = read_run_state(*resumed_from_);
    check(state_.fingerprint == setup_.data.fingerprint(), "[resume] the data is not what ",
          resumed_from_->string(), " was trained on: its files have changed");
  }
  state_.fingerprint = setup_.data.fingerprint();
  c_.rematerialise = recipe_.rematerialise == Rematerialise::block;
  if (setup_.generator) {
    // The discriminator is planned as a masked language model of its size.
    ModelSpec spec = setup_.checkpoint.model->spec();
    spec.heads = setup_.generator->model->spec().heads;
    spec.embed.base = false;
    plan_ = make_plan(c_, Model(std::move(spec)), recipe_, state_.step);
    plan_ += make_plan(c_, *setup_.generator->model, recipe_, state_.step);
  } else {
    plan_ = make_plan(c_, *setup_.checkpoint.model, recipe_, state_.step);
  }
  check_out(recipe_, plan_);
}

StepResult Trainer::advance(Optimizer& optimizer, Optimizer* generator, double lr, Clock& clock) {
  const auto begin = std::chrono::steady_clock::now();
  std::vector<TrainPart> parts;
  double flops = 0;
  int64_t tokens = 0;
  // As numpy's array_split cuts: the first parts are one row longer.
  for (int64_t i = 0, first = 0; i < recipe_.accumulation; ++i) {
    const int64_t rows =
        recipe_.batch / recipe_.accumulation + (i < recipe_.batch % recipe_.accumulation ? 1 : 0);
    TokenBatch batch = setup_.data.batch(state_.position + first, rows);
    first += rows;
    flops += training_flops(*setup_.checkpoint.model, batch);
    tokens += static_cast<int64_t>(batch.ids.size() + batch.source_ids.size());
    parts.push_back(part_of(std::move(batch)));
  }
  StepResult result;
  if (generator) {
    const ReplacedStep both{*setup_.generator->model, *setup_.checkpoint.model, *generator,
                            optimizer, recipe_.generator.lambda};
    const RngKey key = RngKey(recipe_.seed).of("replace").at(static_cast<uint64_t>(state_.step));
    const ReplacedResult done = replaced_step(c_, both, parts, lr, key);
    result = {done.generator.loss + both.weight * done.discriminator.loss,
              std::hypot(done.generator.grad_norm, done.discriminator.grad_norm),
              done.generator.counted};
  } else {
    result = train_step(c_, *setup_.checkpoint.model, parts, optimizer, lr);
  }
  state_.step += 1;
  state_.position += recipe_.batch;
  state_.tokens += tokens;
  state_.flops += flops;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  clock.seconds += elapsed.count();
  clock.tokens += tokens;
  clock.flops += flops;
  return result;
}

double Trainer::validation_loss() {
  const int64_t all = setup_.data.validation_sequences();
  const int64_t count = recipe_.eval_sequences > 0 ? std::min(recipe_.eval_sequences, all) : all;
  double sum = 0, detection = 0;
  int64_t counted = 0, detected = 0;
  for (int64_t first = 0; first < count; first += recipe_.batch) {
    const int64_t rows = std::min(recipe_.batch, count - first);
    if (setup_.generator) {
      const RngKey key = RngKey(recipe_.seed).of("replace.validation");
      const ReplacedLoss both = evaluate_replaced(
          c_, *setup_.generator->model, *setup_.checkpoint.model,
          part_of(setup_.data.validation_batch(first, rows)), key.at(static_cast<uint64_t>(first)));
      if (both.generator.count > 0) sum += both.generator.sum.item();
      counted += both.generator.count;
      detection += both.discriminator.sum.item();
      detected += both.discriminator.count;
      continue;
    }
    const LossSum loss =
        evaluate(c_, *setup_.checkpoint.model, part_of(setup_.data.validation_batch(first, rows)));
    if (loss.count > 0) sum += loss.sum.item();
    counted += loss.count;
  }
  check(counted > 0, "[train] no token of the validation part has a label");
  const double mean = sum / static_cast<double>(counted);
  return setup_.generator
             ? mean + recipe_.generator.lambda * detection / static_cast<double>(detected)
             : mean;
}

Metric Trainer::metric(std::string_view split, double loss) const {
  Metric m;
  m.step = state_.step;
  m.tokens = state_.tokens;
  m.epoch = static_cast<double>(state_.position) / static_cast<double>(setup_.data.sequences());
  m.split = split;
  m.loss = loss;
  m.ts = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  return m;
}

void Trainer::save(TrainObserver& observer, const Optimizer& optimizer, const Optimizer* generator,
                   const MetricsLog& log) {
  const fs::path path = checkpoint_path(recipe_.out, state_.step);
  write_checkpoint(c_, path, state_,
                   {recipe_, setup_.checkpoint, setup_.tokenizer, optimizer, log.all(),
                    setup_.generator ? &*setup_.generator : nullptr, generator});
  observer.saved(path);
}

// Silent mistakes show in the first loss: a fresh model knows nothing, a trained one something.
void Trainer::look_at_first_loss(TrainObserver& observer, double loss) const {
  if (setup_.generator) return;  // the sum of two losses
  double uniform = std::log(setup_.checkpoint.model->spec().embed.vocab);
  if (recipe_.sentences != Sentences::one) uniform += std::log(2.0);
  if (setup_.scratch && std::abs(loss - uniform) > 0.1 * uniform)
    observer.note(cat("the first loss is ", loss, "; a fresh model that knows nothing has ",
                      uniform, ": look at the initialisation"));
  if (!setup_.scratch && setup_.checkpoint.fresh.empty() && loss > 0.7 * uniform)
    observer.note(cat("the first loss is ", loss, ", near the ", uniform,
                      " of a model that knows nothing: is this the right checkpoint and "
                      "tokenizer for this data?"));
}

bool Trainer::run(TrainObserver& observer, const std::atomic<bool>& stop) {
  for (const std::string& note : setup_.notes) observer.note(note);
  std::error_code error;
  fs::create_directories(recipe_.out, error);
  check(!error, "[train] cannot create ", recipe_.out, ": ", error.message());
  MetricsLog log(fs::path(recipe_.out) / "metrics.jsonl", state_.step);

  c_.pool->reset_peak();
  std::optional<Optimizer> of_generator;
  if (setup_.generator) {
    ParamStore& own = setup_.generator->model->params();
    own.make_flat(c_, recipe_.seed, true);
    of_generator.emplace(c_, own, recipe_.optimizer);
    share_embedding(*setup_.generator->model, *setup_.checkpoint.model);
  }
  Optimizer* const generator = of_generator ? &*of_generator : nullptr;
  ParamStore& params = learnt(*setup_.checkpoint.model);
  params.make_flat(c_, recipe_.seed, true);
  Optimizer optimizer(c_, params, recipe_.optimizer);
  if (resumed_from_) {
    restore_moments(*resumed_from_, setup_.checkpoint, optimizer);
    optimizer.restored(state_.step);
    if (generator) {
      restore_moments(*resumed_from_, *setup_.generator, *generator, kGeneratorMoments);
      generator->restored(state_.step);
    }
  }

  const auto every = [&](int64_t period) {
    return state_.step == recipe_.steps || (period > 0 && state_.step % period == 0);
  };
  const auto record = [&](const Metric& m) {
    log.add(m);
    observer.metric(m);
  };
  const auto draw = [&] {
    const std::string title = cat(fs::path(recipe_.out).filename().string(), ": loss of ",
                                  plan_.parameters, " parameters");
    write_file(fs::path(recipe_.out) / "loss.svg", loss_svg(title, log.all()));
  };
  Clock clock;
  double step_seconds = 0;  // a running mean
  bool stopping = false;
  while (state_.step < recipe_.steps && !stopping) {
    const double lr = recipe_.optimizer.lr * schedule_.factor(state_.step);
    const double before = clock.seconds;
    const StepResult result = advance(optimizer, generator, lr, clock);
    const double took = clock.seconds - before;
    step_seconds = step_seconds == 0 ? took : 0.9 * step_seconds + 0.1 * took;
    if (state_.step == 1) look_at_first_loss(observer, result.loss);
    const double rate = static_cast<double>(clock.tokens) / clock.seconds;
    const double share = clock.flops / clock.seconds / plan_.peak_flops;
    observer.progress({state_.step, recipe_.steps, result.loss, lr, rate, share,
                       step_seconds * static_cast<double>(recipe_.steps - state_.step)});
    if (state_.step == 1 || every(recipe_.log_every)) {
      Metric m = metric("train", result.loss);
      m.lr = lr;
      m.grad_norm = result.grad_norm;
      m.tok_s = rate;
      m.share_of_peak = share;
      record(m);
      clock = {};
    }
    stopping = stop;  // read once: what is decided here holds for the whole turn
    const bool look = recipe_.validation > 0 && every(recipe_.eval_every);
    if (look) record(metric("validation", validation_loss()));
    const bool keep = stopping || every(recipe_.save_every);
    if (keep) save(observer, optimizer, generator, log);
    if (keep || look) draw();
  }
  return state_.step >= recipe_.steps;
}

}  // namespace stemma
