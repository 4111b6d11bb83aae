#include "run/scheduler.h"

#include <algorithm>
#include <cmath>

#include "ops/primitives.h"

namespace stemma {
namespace {

// A shared beginning shorter than a page is not worth a fork.
constexpr int kWorthSharing = KvLayout::kTokens;

// So many new tokens have their room from the start; lists of more grow by doubling.
constexpr int kRoomAhead = 4096;

// Text that streams out, minus what might still become a stop string.
class StopWatch {
 public:
  explicit StopWatch(const std::vector<std::string>& stops) : stops_(stops) {}

  // Appends; returns what may be shown. found() says whether a stop string has come.
  std::string push(std::string_view piece) {
    const size_t before = text_.size();
    text_ += piece;
    for (const std::string& stop : stops_) {
      if (stop.empty()) continue;
      // It cannot begin earlier: it would have been found.
      const size_t from = before < stop.size() ? 0 : before - stop.size() + 1;
      if (const size_t at = text_.find(stop, from); at != std::string::npos) {
        found_ = true;
        text_.resize(at);
      }
    }
    size_t safe = text_.size();
    if (!found_)
      for (const std::string& stop : stops_)
        for (size_t n = std::min(stop.size(), text_.size()); n > 0; --n)
          if (text_.ends_with(std::string_view(stop).substr(0, n))) {
            safe = std::min(safe, text_.size() - n);
            break;
          }
    return show(safe);
  }
  std::string finish() { return show(text_.size()); }
  bool found() const { return found_; }
  const std::string& text() const { return text_; }

 private:
  std::string show(size_t end) {
    if (end <= shown_) return {};
    std::string out = text_.substr(shown_, end - shown_);
    shown_ = end;
    return out;
  }
  const std::vector<std::string>& stops_;
  std::string text_;
  size_t shown_ = 0;
  bool found_ = false;
};

// Natural-log probability of one id under the logits.
double log_probability(std::span<const float> logits, int32_t id) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (float v : logits) total += std::exp(v - largest);
  return logits[static_cast<size_t>(id)] - largest - std::log(total);
}

// How many ids `a` and `b` begin with in common.
int common(std::span<const int32_t> a, std::span<const int32_t> b) {
  const size_t n = std::min(a.size(), b.size());
  return static_cast<int>(
      std::mismatch(a.begin(), a.begin() + static_cast<int64_t>(n), b.begin()).first - a.begin());
}

}  // namespace

struct Scheduler::Task {
  Task(Id id, Request given, Ints begins, int32_t adapter, const Tokenizer* tokenizer)
      : id(id),
        request(std::move(given)),
        adapter(adapter),
        tokens(std::move(begins)),
        watch(request.options.stop) {
    if (tokenizer) decoder = std::make_unique<StreamDecoder>(*tokenizer);
    const auto room =
        static_cast<size_t>(std::clamp(request.options.max_new_tokens, 0, kRoomAhead));
    tokens.reserve(tokens.size() + room);
    out.ids.reserve(room);
    if (request.options.logprobs) out.logprobs.reserve(room);
  }

  Id id;
  Request request;
  int32_t adapter;  // -1: none
  Ints tokens;      // of the decoder: what it begins with, and what has been generated
  SeqId seq = -1;   // while it runs
  bool ended = false;
  Generated out;
  StopWatch watch;
  std::unique_ptr<StreamDecoder> decoder;
};

Scheduler::Scheduler(const Ctx& c, const Model& model, const Tokenizer* tokenizer,
                     const SchedulerOptions& options)
    : c_(c),
      model_(model),
      tokenizer_(tokenizer),
      options_(options),
      state_(state_specs(model.spec(), model.kv_dtype()), options.state_bytes) {
  check(options.chunk > 0 && options.max_running > 0 && options.kept >= 0, "[scheduler] chunks of ",
        options.chunk, " tokens and ", options.max_running, " sequences; both must be positive");
  check_generates(model);
}

Scheduler::~Scheduler() = default;

Scheduler::Id Scheduler::submit(Request request) {
  const ModelSpec& spec = model_.spec();
  check(!request.prompt.empty(), "[generate] the prompt has no tokens");
  for (int32_t id : request.prompt)
    check(id >= 0 && id < spec.embed.vocab, "[generate] token id ", id,
          " is outside the vocabulary of ", spec.embed.vocab);
  check(static_cast<int>(request.prompt.size()) <= position_limit(spec),
        "[generate] the prompt has ", request.prompt.size(), " tokens, the model ",
        position_limit(spec), " positions");
  const auto adapters = static_cast<int32_t>(model_.adapters().size());
  const int32_t adapter = request.adapter.value_or(adapters > 0 ? 0 : -1);
  check(adapter < adapters, "[generate] the request asks for adapter ", adapter, " of ", adapters);
  Ints begins = decoder_prompt(model_, request.prompt, request.options);
  std::lock_guard lock(mutex_);
  const Id id = next_id_++;
  submitted_.push_back(
      std::make_unique<Task>(id, std::move(request), std::move(begins), adapter, tokenizer_));
  arrived_.notify_one();
  return id;
}

void Scheduler::cancel(Id id) {
  std::lock_guard lock(mutex_);
  cancelled_.push_back(id);
  arrived_.notify_one();
}

void Scheduler::close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  arrived_.notify_one();
}

void Scheduler::serve() {
  for (;;) {
    run();
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [&] { return closed_ || !submitted_.empty(); });
    if (submitted_.empty()) return;
  }
}

// What other threads have asked for since the last step.
void Scheduler::take_in() {
  std::vector<Id> cancelled;
  {
    std::lock_guard lock(mutex_);
    for (auto& task : submitted_) waiting_.push_back(std::move(task));
    submitted_.clear();
    cancelled.swap(cancelled_);
  }
  for (Tasks* tasks : {&waiting_, &running_})
    for (auto& task : *tasks)
      if (std::find(cancelled.begin(), cancelled.end(), task->id) != cancelled.end())
        finish(*task, "cancelled");
      else if (task->request.options.max_new_tokens <= 0)
        finish(*task, "length");
  drop_ended();
}

void Scheduler::drop_ended() {
  for (Tasks* tasks : {&waiting_, &running_})
    std::erase_if(*tasks, [](const auto& task) { return task->ended; });
}

// Waiting requests begin while there is room for all they have to compute, and for those that run
// to go on by a page.
void Scheduler::admit() {
  while (!waiting_.empty() && running_.size() < static_cast<size_t>(options_.max_running)) {
    Task& task = *waiting_.front();
    const int64_t wanted = state_.bytes_for(static_cast<int>(task.tokens.size()) + 1,
                                            static_cast<int>(task.request.prompt.size())) +
                           static_cast<int64_t>(running_.size()) * state_.bytes_for(1);
    while (wanted > state_.budget() - state_.bytes() && !kept_.empty()) {
      state_.release(kept_.front().seq);
      kept_.pop_front();
    }
    if (wanted > state_.budget() - state_.bytes() && !running_.empty()) return;
    task.seq = next_seq_++;
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

void Scheduler::preempt_last() {
  state_.release(running_.back()->seq);
  waiting_.push_front(std::move(running_.back()));
  running_.pop_back();
}

// Room for `tokens` of the task at `index`, if need be at the cost of kept states and of later
// tasks. False where even that is not enough.
bool Scheduler::make_room(size_t index, int tokens) {
  const Task& task = *running_[index];
  while (!state_.reserve(task.seq, tokens, unread(task))) {
    if (!kept_.empty()) {
      state_.release(kept_.front().seq);
      kept_.pop_front();
    } else if (index + 1 < running_.size()) {
      preempt_last();
    } else {
      return false;
    }
  }
  return true;
}

// Tokens of a task that have not gone through the model.
int Scheduler::left(const Task& task) const {
  return static_cast<int>(task.tokens.size()) - state_.length(task.seq);
}

// Tokens of its source, where it has not read that.
int Scheduler::unread(const Task& task) const {
  return model_.spec().reads_source() && state_.length(task.seq) == 0
             ? static_cast<int>(task.request.prompt.size())
             : 0;
}

// Whether a prompt goes through the model at once, and its state serves no other.
bool Scheduler::read_whole(const Task& task) const {
  return model_.spec().reads_source() || task.request.options.prefix;
}

// Takes over the state of the sequence that has most in common with this one. False where an
// earlier task is about to compute what both need: this one waits for it.
bool Scheduler::share_prefix(size_t index) {
  // Of sequences with sources or prefixes, those that begin alike have nothing in common.
  Task& task = *running_[index];
  if (read_whole(task)) return true;
  // The last token is computed in any case: its row is the one that is sampled.
  const std::span<const int32_t> wanted(task.tokens.data(), task.tokens.size() - 1);
  int had = state_.length(task.seq);
  SeqId source = -1;
  auto consider = [&](SeqId seq, int32_t adapter, const Ints& tokens) {
    if (adapter != task.adapter) return;
    const int n = common(wanted, {tokens.data(), static_cast<size_t>(state_.length(seq))});
    if (n >= had + kWorthSharing) had = n, source = seq;
  };
  for (const Kept& kept : kept_) consider(kept.seq, kept.adapter, kept.tokens);
  for (size_t i = 0; i < running_.size(); ++i)
    if (i != index && !read_whole(*running_[i]))
      consider(running_[i]->seq, running_[i]->adapter, running_[i]->tokens);
  for (size_t i = 0; i < index; ++i)
    if (running_[i]->adapter == task.adapter && !read_whole(*running_[i]) &&
        left(*running_[i]) > 1 && common(wanted, running_[i]->tokens) >= had + kWorthSharing)
      return false;
  if (source < 0) return true;

  SeqId taken = next_seq_++;
  state_.fork(source, taken);
  if (state_.rollback(taken, had) > state_.length(task.seq)) std::swap(taken, task.seq);
  state_.release(taken);
  return true;
}

void Scheduler::Plan::clear() {
  batch.main.ids.clear();
  batch.main.positions.clear();
  batch.main.start.clear();
  batch.main.prefix.clear();
  batch.source.reset();
  batch.seqs.clear();
  batch.adapter.clear();
  sampled.clear();
  rows.clear();
}

// Fills plan_ for a step; running_ may lose tasks that have no room.
void Scheduler::plan() {
  struct Part {
    Task* task;
    int tokens;
  };
  PoolVector<Part> parts(c_.pool);
  parts.reserve(running_.size());
  auto take = [&](size_t index, int tokens) {
    Task& task = *running_[index];
    if (make_room(index, state_.length(task.seq) + tokens)) {
      parts.push_back({&task, tokens});
      return true;
    }
    if (index > 0) {
      // Those before it may need all there is: it begins again when they are done.
      preempt_last();
    } else {
      task.out.error =
          cat("[generate] ", task.tokens.size(), " tokens do not fit into the state's budget of ",
              state_.budget(), " bytes");
      finish(task, "error");
    }
    return false;
  };
  // Decoding first, then prompts, each in order of arrival: the earliest always goes on.
  const auto decodes = [&](const Task& task) { return left(task) == 1 && unread(task) == 0; };
  for (size_t i = 0; i < running_.size(); ++i)
    if (decodes(*running_[i])) take(i, 1);
  int chunk = options_.chunk;
  for (size_t i = 0; i < running_.size() && chunk > 0; ++i) {
    if (running_[i]->ended || decodes(*running_[i]) || !share_prefix(i)) continue;
    const Task& task = *running_[i];
    const bool whole = task.request.options.prefix && state_.length(task.seq) == 0;
    const int tokens = whole ? left(task) : std::min(left(task), chunk), source = unread(task);
    if (!take(i, tokens)) break;
    chunk -= tokens + source;
  }
  // A task that was preempted after it had been given a part is no longer in running_.
  std::erase_if(parts, [&](const Part& part) {
    return std::none_of(running_.begin(), running_.end(),
                        [&](const auto& task) { return task.get() == part.task; });
  });
  plan_.clear();
  const auto reads = [&](const Part& part) { return unread(*part.task) > 0; };
  if (std::any_of(parts.begin(), parts.end(), reads)) plan_.batch.source.emplace();
  const bool prefixes = std::any_of(parts.begin(), parts.end(), [](const Part& part) {
    return part.task->request.options.prefix;
  });
  for (const Part& part : parts) {
    const Task& task = *part.task;
    const int at = state_.length(task.seq);
    if (plan_.batch.source)
      plan_.batch.source->append(reads(part) ? std::span<const int32_t>(task.request.prompt)
                                             : std::span<const int32_t>());
    plan_.batch.main.append(
        std::span(task.tokens).subspan(static_cast<size_t>(at), static_cast<size_t>(part.tokens)),
        {}, at);
    if (prefixes)
      plan_.batch.main.prefix.push_back(
          task.request.options.prefix ? static_cast<int32_t>(task.request.prompt.size()) : 0);
    plan_.batch.seqs.push_back(task.seq);
    plan_.batch.adapter.push_back(task.adapter);
    if (left(task) > part.tokens) continue;
    plan_.sampled.push_back(part.task);
    plan_.rows.push_back(plan_.batch.main.start.back() - 1);
  }
}

bool Scheduler::step() {
  take_in();
  admit();
  if (running_.empty()) return false;
  plan();
  if (!plan_.batch.seqs.empty()) {
    const Tensor hidden = model_.forward(c_, plan_.batch, &state_);
    tokens_computed_ += plan_.batch.main.tokens();
    if (plan_.batch.source) tokens_computed_ += plan_.batch.source->tokens();
    if (!plan_.rows.empty()) {
      const Tensor last = gather(c_, hidden, Tensor::from(c_, plan_.rows));
      sample(model_.head<LmHeadLayer>()->logits(c_, last), plan_.sampled);
    }
  }
  drop_ended();
  return true;
}

void Scheduler::sample(const Tensor& logits, std::span<Task* const> tasks) {
  const auto vocab = static_cast<size_t>(logits.extent(1));
  PoolVector<int32_t> ids(tasks.size(), c_.pool);
  c_.team->run_range(static_cast<int64_t>(tasks.size()), 1, [&](int64_t begin, int64_t) {
    Task& task = *tasks[static_cast<size_t>(begin)];
    const GenerateOptions& o = task.request.options;
    const std::span<float> scores(logits.data<float>() + begin * static_cast<int64_t>(vocab),
                                  vocab);
    PoolVector<float> before(c_.pool);  // choose() works in place
    if (o.logprobs) before.assign(scores.begin(), scores.end());
    const int32_t id =
        choose(scores, task.tokens, o.sampling, static_cast<int64_t>(task.out.ids.size()), c_.pool);
    if (o.logprobs) task.out.logprobs.push_back(log_probability(before, id));
    ids[static_cast<size_t>(begin)] = id;
  });
  for (size_t i = 0; i < tasks.size(); ++i) {
    Task& task = *tasks[i];
    const GenerateOptions& o = task.request.options;
    const int32_t id = ids[i];
    task.out.ids.push_back(id);
    task.tokens.push_back(id);
    const bool eos = std::find(o.eos.begin(), o.eos.end(), id) != o.eos.end();
    std::string piece;
    if (task.decoder && !eos) piece = task.watch.push(task.decoder->push(id));
    const bool go_on = !task.request.on_token || task.request.on_token(id, piece);
    if (eos || task.watch.found() || !go_on)
      finish(task, "stop");
    else if (static_cast<int>(task.out.ids.size()) >= o.max_new_tokens ||
             static_cast<int>(task.tokens.size()) > position_limit(model_.spec()))
      finish(task, "length");
  }
}

// Hands the result over; the state is kept for those to come, or given back.
void Scheduler::finish(Task& task, const char* reason) {
  task.ended = true;
  task.out.finish_reason = reason;
  if (task.decoder && !task.watch.found()) {
    std::string rest = task.watch.push(task.decoder->finish());
    rest += task.watch.finish();
    if (task.request.on_token && !rest.empty()) task.request.on_token(-1, rest);
  }
  task.out.text = task.watch.text();
  if (task.seq >= 0 && read_whole(task)) {
    state_.release(task.seq);
  } else if (task.seq >= 0 && state_.has(task.seq)) {
    task.tokens.resize(static_cast<size_t>(state_.length(task.seq)));
    kept_.push_back({task.seq, task.adapter, std::move(task.tokens)});
    while (kept_.size() > static_cast<size_t>(options_.kept)) {
      state_.release(kept_.front().seq);
      kept_.pop_front();
    }
  }
  if (task.request.on_done) task.request.on_done(std::move(task.out));
}

}  // namespace stemma
