#include "train/run_files.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/file.h"
#include "model/adapter_files.h"
#include "train/replaced.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "checkpoint-";
constexpr const char* kTrainerState = "trainer_state.json";
constexpr const char* kDataState = "data_state.json";
constexpr const char *kGenerator = "generator", *kDiscriminator = "discriminator",
                     *kEmbedding = "embedding.safetensors";

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

void write_moments(const fs::path& path, const Checkpoint& checkpoint, const Optimizer& optimizer) {
  std::vector<TensorEntry> entries;
  for (const Parameter& p : optimizer.params().all()) {
    if (p.role != Role::trained) continue;
    const std::string name = stored_name(checkpoint, p);
    for (const auto& [kind, moment] : {std::pair("exp_avg.", &optimizer.exp_avg()),
                                       std::pair("exp_avg_sq.", &optimizer.exp_avg_sq())}) {
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

// The tables of the discriminator that lie on top of others.
std::vector<Parameter*> added_tables(const Checkpoint& discriminator) {
  std::vector<Parameter*> tables;
  ParamStore& params = discriminator.model->params();
  for (Parameter& p : params.all())
    if (params.find(p.name + ".base")) tables.push_back(&p);
  return tables;
}

void write_replaced(Ctx& c, const fs::path& directory, const RunView& run) {
  const auto write = [&](const char* name, const Checkpoint& checkpoint) {
    fs::create_directory(directory / name);
    save_checkpoint(directory / name, checkpoint);
    run.tokenizer.save(directory / name);
  };
  write(kGenerator, *run.generator);
  write(kDiscriminator, merged(c, run.checkpoint));
  std::vector<TensorEntry> tables;
  for (const Parameter* p : added_tables(run.checkpoint)) {
    const auto* data = reinterpret_cast<const uint8_t*>(p->value.data<float>());
    tables.push_back(
        tensor_entry(p->name, DType::f32, extents(p->shape),
                     {data, static_cast<size_t>(p->shape.elements()) * sizeof(float)}));
  }
  write_safetensors(directory / kEmbedding, tables);
  write_moments(directory / kGeneratorMoments, *run.generator, *run.generator_optimizer);
}

std::pair<Checkpoint, Checkpoint> load_replaced(Ctx& c, const fs::path& path) {
  Checkpoint generator = load_checkpoint(c, path / kGenerator, {.format = Format::f32});
  const Checkpoint whole = load_checkpoint(c, path / kDiscriminator, {.format = Format::f32});
  Checkpoint discriminator = make_discriminator(whole.config);
  discriminator.prefixed = whole.prefixed;
  for (Parameter& p : discriminator.model->params().all())
    if (const Parameter* saved = whole.model->params().find(p.name)) p.value = saved->value;
  const TensorFiles tables = TensorFiles::open(path / kEmbedding);
  for (Parameter* p : added_tables(discriminator)) {
    const StoredTensor& stored = tables.at(p->name);
    check(stored.dtype == DType::f32 && stored.shape == extents(p->shape), "[resume] ", p->name,
          " in ", (path / kEmbedding).string(), " does not have its type and shape");
    p->value = Tensor::empty(c, p->shape);
    std::memcpy(p->value.data<float>(), stored.bytes.data(), stored.bytes.size());
  }
  return {std::move(generator), std::move(discriminator)};
}

void write_checkpoint(Ctx& c, const fs::path& path, const RunState& state, const RunView& run) {
  write_directory(path, [&](const fs::path& directory) {
    if (run.generator)
      write_replaced(c, directory, run);
    else if (const Adapters& adapters = run.checkpoint.model->adapters(); adapters.empty())
      save_checkpoint(directory, run.checkpoint);
    else
      save_adapter(directory, run.checkpoint, *adapters.front());
    run.tokenizer.save(directory);
    write_moments(directory / kMoments, run.checkpoint, run.optimizer);
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

void restore_moments(const fs::path& path, const Checkpoint& checkpoint, Optimizer& optimizer,
                     const char* file) {
  const TensorFiles files = TensorFiles::open(path / file);
  for (const Parameter& p : optimizer.params().all()) {
    if (p.role != Role::trained) continue;
    const std::string name = stored_name(checkpoint, p);
    for (const auto& [kind, moment] : {std::pair("exp_avg.", &optimizer.exp_avg()),
                                       std::pair("exp_avg_sq.", &optimizer.exp_avg_sq())}) {
      const StoredTensor& stored = files.at(kind + name);
      check(stored.dtype == DType::f32 && stored.shape == extents(p.shape), "[resume] ",
            stored.name, " in ", (path / file).string(),
            " does not have the type and shape of its parameter, F32 ", p.shape.to_string());
      std::memcpy(moment->data<float>() + p.offset, stored.bytes.data(), stored.bytes.size());
    }
  }
}

}  // namespace stemma
