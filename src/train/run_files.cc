#include "train/run_files.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/file.h"
#include "model/adapter_files.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "checkpoint-";
constexpr const char* kTrainerState = "trainer_state.json";
constexpr const char* kDataState = "data_state.json";
constexpr const char* kMoments = "optimizer.safetensors";

// N of "checkpoint-N", -1 for any other name.
int64_t step_of(const fs::path& path) {
  const std::string name = path.filename().string();
  if (!name.starts_with(kPrefix)) return -1;
  int64_t step = -1;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  return error == std::errc() && stop == end ? step : -1;
}

std::vector<int64_t> extents(const Shape& shape) {
  std::vector<int64_t> list;
  for (int d = 0; d < shape.rank(); ++d) list.push_back(shape[d]);
  return list;
}

// The published name of what the run changes.
std::string stored_name(const Checkpoint& checkpoint, const Parameter& p) {
  return checkpoint.model->adapters().empty() ? checkpoint.published(p) : peft_name(checkpoint, p);
}

void write_moments(const fs::path& path, const RunView& run) {
  std::vector<TensorEntry> entries;
  for (const Parameter& p : run.optimizer.params().all()) {
    if (p.role != Role::trained) continue;
    const std::string name = stored_name(run.checkpoint, p);
    for (const auto& [kind, moment] : {std::pair("exp_avg.", &run.optimizer.exp_avg()),
                                       std::pair("exp_avg_sq.", &run.optimizer.exp_avg_sq())}) {
      const auto* data = reinterpret_cast<const uint8_t*>(moment->data<float>() + p.offset);
      entries.push_back(
          tensor_entry(kind + name, DType::f32, extents(p.shape),
                       {data, static_cast<size_t>(p.shape.elements()) * sizeof(float)}));
    }
  }
  write_safetensors(path, entries);
}

// As transformers' Trainer logs them.
Json log_entry(const Metric& m) {
  Json entry = Json::object({{"epoch", m.epoch}});
  if (m.training()) {
    entry.set("grad_norm", m.grad_norm);
    entry.set("learning_rate", m.lr);
    entry.set("loss", m.loss);
  } else {
    entry.set("eval_loss", m.loss);
  }
  entry.set("step", m.step);
  return entry;
}

Json trainer_state(const RunState& state, const RunView& run) {
  const Recipe& recipe = run.recipe;
  Json history = Json::array();
  double epoch = 0;
  const Metric* best = nullptr;
  for (const Metric& m : run.metrics) {
    history.push_back(log_entry(m));
    epoch = m.epoch;
    if (!m.training() && (!best || m.loss < best->loss)) best = &m;
  }
  return Json::object({
      {"best_global_step", best ? Json(best->step) : Json()},
      {"best_metric", best ? Json(best->loss) : Json()},
      {"best_model_checkpoint", nullptr},
      {"epoch", epoch},
      {"eval_steps", recipe.eval_every},
      {"global_step", state.step},
      {"is_hyper_param_search", false},
      {"is_local_process_zero", true},
      {"is_world_process_zero", true},
      {"log_history", std::move(history)},
      {"logging_steps", recipe.log_every},
      {"max_steps", recipe.steps},
      {"num_input_tokens_seen", state.tokens},
      {"num_train_epochs", static_cast<int64_t>(epoch) + 1},
      {"save_steps", recipe.save_every},
      {"stateful_callbacks", Json::object()},
      {"total_flos", state.flops},
      {"train_batch_size", recipe.batch},
      {"trial_name", nullptr},
      {"trial_params", nullptr},
  });
}

}  // namespace

fs::path checkpoint_path(const fs::path& out, int64_t step) { return out / cat(kPrefix, step); }

std::optional<fs::path> newest_checkpoint(const fs::path& out) {
  std::error_code error;
  if (!fs::is_directory(out, error)) return std::nullopt;
  std::optional<fs::path> newest;
  int64_t most = -1;
  fs::directory_iterator entry(out, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const int64_t step = step_of(entry->path());
    std::error_code ignored;
    if (step > most && fs::exists(entry->path() / kTrainerState, ignored))
      most = step, newest = entry->path();
  }
  check(!error, "[train] cannot list ", out.string(), ": ", error.message());
  return newest;
}

void write_checkpoint(const fs::path& path, const RunState& state, const RunView& run) {
  write_directory(path, [&](const fs::path& directory) {
    if (const Adapters& adapters = run.checkpoint.model->adapters(); adapters.empty())
      save_checkpoint(directory, run.checkpoint);
    else
      save_adapter(directory, run.checkpoint, *adapters.front());
    run.tokenizer.save(directory);
    write_moments(directory / kMoments, run);
    write_file(
        directory / kDataState,
        Json::object({{"position", state.position}, {"fingerprint", state.fingerprint}}).dump(2) +
            "\n");
    write_file(directory / "recipe.toml", recipe_text(run.recipe));
    write_file(directory / kTrainerState, trainer_state(state, run).dump(2) + "\n");
  });
}

RunState read_run_state(const fs::path& checkpoint) {
  const Json trainer = Json::parse_file(checkpoint / kTrainerState);
  const Json data = Json::parse_file(checkpoint / kDataState);
  RunState state;
  state.step = trainer.at("global_step").as_int();
  state.tokens = trainer.at("num_input_tokens_seen").as_int();
  state.flops = trainer.at("total_flos").as_double();
  state.position = data.at("position").as_int();
  const std::string& print = data.at("fingerprint").number_text();
  const char* end = print.data() + print.size();
  const auto [stop, error] = std::from_chars(print.data(), end, state.fingerprint);
  check(error == std::errc() && stop == end && state.step >= 0 && state.position >= 0, "[resume] ",
        checkpoint.string(), " has numbers in ", kDataState, " or ", kTrainerState,
        " that cannot be");
  return state;
}

void restore_moments(const fs::path& path, const Checkpoint& checkpoint, Optimizer& optimizer) {
  const TensorFiles files = TensorFiles::open(path / kMoments);
  for (const Parameter& p : optimizer.params().all()) {
    if (p.role != Role::trained) continue;
    const std::string name = stored_name(checkpoint, p);
    for (const auto& [kind, moment] : {std::pair("exp_avg.", &optimizer.exp_avg()),
                                       std::pair("exp_avg_sq.", &optimizer.exp_avg_sq())}) {
      const StoredTensor& stored = files.at(kind + name);
      check(stored.dtype == DType::f32 && stored.shape == extents(p.shape), "[resume] ",
            stored.name, " in ", (path / kMoments).string(),
            " does not have the type and shape of its parameter, F32 ", p.shape.to_string());
      std::memcpy(moment->data<float>() + p.offset, stored.bytes.data(), stored.bytes.size());
    }
  }
}

}  // namespace stemma
