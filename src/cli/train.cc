// stemma train RECIPE.toml [key=value...]: trains a model; --dry-run says what that would take.
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "cli/progress.h"
#include "cli/verb.h"
#include "hub/cache.h"
#include "train/trainer.h"

namespace stemma::cli {
namespace {

std::atomic<bool> interrupted = false;

// The first Ctrl-C or SIGTERM asks for a checkpoint; a second one kills, as ever.
void interrupt_politely() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = true; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
}

template <class... Args>
std::string formatted(const char* format, Args... args) {
  char text[256];
  std::snprintf(text, sizeof text, format, args...);
  return text;
}

std::string bytes(int64_t n) {
  const auto value = static_cast<double>(n);
  if (n < 1000000000) return formatted("%.1f MB", value / 1e6);
  return formatted("%.2f GB", value / 1e9);
}

std::string count(int64_t n) {
  const auto value = static_cast<double>(n);
  if (n < 10000) return cat(n);
  if (n < 1000000) return formatted("%.1f k", value / 1e3);
  return formatted("%.2f M", value / 1e6);
}

// One live line on a terminal; else a line for every entry of the log.
class Narrator : public TrainObserver {
 public:
  explicit Narrator(Session& session)
      : session_(session), live_(!session.json && isatty(STDERR_FILENO) != 0) {}
  ~Narrator() override { clear(); }

  void note(std::string_view text) override {
    clear();
    session_.notice(cat("note: ", text));
  }
  void progress(const Progress& p) override {
    last_ = p;
    if (!live_) return;
    std::fprintf(stderr, "\r%s\033[K", line(p).c_str());
    shown_ = true;
  }
  void metric(const Metric& m) override {
    if (session_.json) return session_.emit(m.to_json());
    if (!m.training())
      say(formatted("step %lld/%lld  validation loss %.4f", static_cast<long long>(m.step),
                    static_cast<long long>(last_.steps), m.loss));
    else if (!live_)
      say(line(last_));
  }
  void saved(const std::filesystem::path& path) override {
    if (session_.json)
      session_.emit(Json::object({{"checkpoint", path.string()}}));
    else
      say("saved " + path.string());
  }

 private:
  static std::string line(const Progress& p) {
    return formatted("step %lld/%lld  loss %.4f  lr %.2e  %.0f tokens/s  %.0f %% of peak  ",
                     static_cast<long long>(p.step), static_cast<long long>(p.steps), p.loss, p.lr,
                     p.tok_s, 100 * p.share_of_peak) +
           duration(p.seconds_left) + " left";
  }
  void say(const std::string& text) {
    clear();
    session_.notice(text);
  }
  void clear() {
    if (std::exchange(shown_, false)) std::fputs("\r\033[K", stderr);
  }

  Session& session_;
  bool live_, shown_ = false;
  Progress last_;
};

Json plan_json(const Trainer& trainer) {
  const Plan& plan = trainer.plan();
  const Dataset& data = trainer.setup().data;
  return Json::object({
      {"parameters", plan.parameters},
      {"learnt", plan.learnt},
      {"vocabulary", trainer.setup().tokenizer.vocab_size()},
      {"data_tokens", data.tokens()},
      {"documents", data.documents()},
      {"sequences", data.sequences()},
      {"validation_sequences", data.validation_sequences()},
      {"steps", plan.steps},
      {"tokens_per_step", plan.tokens_per_step},
      {"memory", Json::object({{"weights", plan.weights},
                               {"gradients", plan.gradients},
                               {"moments", plan.moments},
                               {"packed", plan.packed},
                               {"activations", plan.activations},
                               {"total", plan.memory()}})},
      {"checkpoint_bytes", plan.checkpoint},
      {"flops_per_step", plan.flops_per_step},
      {"peak_flops", plan.peak_flops},
      {"seconds_per_step", plan.seconds_per_step},
      {"seconds", plan.seconds_per_step * static_cast<double>(plan.steps)},
  });
}

struct Train {
  std::string recipe;
  std::vector<std::string> overrides;
  bool resume = false, dry_run = false;

  void declare(Options& o) {
    o.add("recipe", recipe, "The recipe, a TOML file", true);
    o.add("overrides", overrides, "key=value, in place of what the recipe says");
    o.add("--resume", resume, "Go on from the newest checkpoint in the recipe's out directory");
    o.add("--dry-run", dry_run, "Check everything, say what it would take, and stop");
    o.footer(
        "docs/training.md lists the keys of a recipe; examples/ has recipes.\n"
        "Ctrl-C finishes the step in progress and saves a checkpoint to go on from.\n"
        "Example: stemma train examples/shakespeare.toml data=input.txt out=out/verse steps=500");
  }

  int run(Session& session) {
    Recipe parsed = read_recipe(recipe, overrides);
    // The recipe keeps the directory: a resumed run starts from the same revision.
    if (std::string& model = parsed.model.path; !model.empty() && !model.ends_with(".json"))
      model = resolve_model(model).string();
    std::optional<Engine> own;
    if (parsed.threads > 0) own.emplace(parsed.threads);
    Ctx c = (own ? *own : session.engine).ctx();
    Trainer trainer(c, parsed, resume);
    describe(session, trainer);
    if (dry_run) {
      if (session.json) session.emit(plan_json(trainer));
      return 0;
    }
    interrupt_politely();
    bool complete = false;
    {
      Narrator narrator(session);
      complete = trainer.run(narrator, interrupted);
    }
    const std::string out = trainer.recipe().out;
    if (!complete)
      session.notice(cat("stopped after step ", trainer.state().step, "; go on with: stemma train ",
                         recipe, override_text(), " --resume"));
    const int64_t peak = trainer.peak_memory(), planned = trainer.plan().memory();
    if (session.json)
      session.emit(Json::object({{"peak_memory", peak}, {"planned_memory", planned}}));
    session.print(cat("memory: ", bytes(peak), " at the highest, ", bytes(planned), " planned"));
    session.print(cat("model: ", checkpoint_path(out, trainer.state().step).string()));
    session.print(cat("loss curve: ", out, "/loss.svg"));
    return 0;
  }

 private:
  std::string override_text() const {
    std::string text;
    for (const std::string& o : overrides) text += " '" + o + "'";
    return text;
  }

  static void describe(Session& session, const Trainer& trainer) {
    if (session.json) return;
    const Plan& p = trainer.plan();
    const Setup& setup = trainer.setup();
    const auto say = [&](const std::string& line) { session.notice(line); };
    if (trainer.resumed_from()) say("resuming from " + trainer.resumed_from()->string());
    say(cat("model   ", setup.checkpoint.config.get("model_type", ""), ", ", count(p.parameters),
            " parameters", p.learnt < p.parameters ? cat(" (", count(p.learnt), " learnt)") : "",
            ", vocabulary of ", setup.tokenizer.vocab_size()));
    say(cat("data    ", count(setup.data.tokens()), " tokens in ", setup.data.documents(),
            " documents; ", setup.data.sequences(), " sequences to learn from, ",
            setup.data.validation_sequences(), " for validation"));
    say(cat("memory  about ", bytes(p.memory()), ": weights ", bytes(p.weights), ", gradients ",
            bytes(p.gradients), ", moments ", bytes(p.moments), ", packed weights ",
            bytes(p.packed), ", activations ", bytes(p.activations)));
    say(cat("time    ", p.steps, " steps of ", count(p.tokens_per_step), " tokens, ",
            formatted("%.2f", p.flops_per_step / 1e9), " GFLOP each; about ",
            duration(p.seconds_per_step), " a step and ",
            duration(p.seconds_per_step * static_cast<double>(p.steps)), " in all (",
            formatted("%.0f", p.peak_flops / 1e9), " GFLOP/s at best)"));
  }
};

const RegisterVerb<Train> verb("Train a model", "train", "Train from a recipe; resume it exactly");

}  // namespace
}  // namespace stemma::cli
