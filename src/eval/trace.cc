#include "eval/trace.h"

#include <algorithm>

#include "eval/compare.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

struct Forward {
  std::vector<Tensor> hidden_states;  // of the stack that the heads read
  std::vector<Step> steps;
};

Forward run(Ctx& c, const Model& model, const Batch& batch, bool kernels) {
  StepRecorder recorder(true);
  Ctx own = c;
  own.rec = &recorder;
  own.kernels = kernels;
  Forward forward;
  HiddenStates states;
  model.forward(own, batch, nullptr, &states);
  forward.hidden_states = std::move(model.spec().decoder ? states.decoder : states.encoder);
  forward.steps = recorder.take();
  return forward;
}

// The layer whose output hidden_states[i] is.
std::string layer_name(const ModelSpec& spec, size_t i) {
  if (i == 0) return "embed";
  std::string name = cat(spec.decoder ? "decoder." : "encoder.", i - 1);
  if (i == spec.stack().executions() && spec.stack().final_norm) name += " + final_norm";
  return name;
}

// The steps that turn hidden_states[i - 1] into hidden_states[i].
std::vector<Step> steps_of(const std::vector<Step>& all, const ModelSpec& spec, size_t i) {
  const std::string stack = spec.decoder ? "decoder." : "encoder.";
  const bool last = i == spec.stack().executions();
  std::vector<Step> steps;
  for (const Step& step : all) {
    // Kernels and definitions are reached by other copies and views.
    if (step.kernel == "primitive") continue;
    if (step.block == (i == 0 ? "embed" : cat(stack, i - 1)) ||
        (last && step.block == stack + "final_norm"))
      steps.push_back(step);
  }
  return steps;
}

std::string title(const Step& step) {
  return cat(step.block, step.part.empty() ? "" : ".", step.part, " ", step.op, " (", step.kernel,
             ")");
}

}  // namespace

bool Trace::holds() const {
  return std::none_of(rows.begin(), rows.end(), [](const TraceRow& r) { return r.diverges; });
}

const Step* first_difference(const std::vector<Step>& kernels, const std::vector<Step>& definitions,
                             double limit) {
  for (size_t i = 0; i < std::min(kernels.size(), definitions.size()); ++i) {
    const Step &step = kernels[i], &definition = definitions[i];
    if (step.op != definition.op || step.values.size() != definition.values.size() ||
        relative_error(step.values, definition.values) > limit)
      return &step;
  }
  return kernels.size() > definitions.size() ? &kernels[definitions.size()] : nullptr;
}

Trace trace_case(Ctx& c, const fs::path& folder) {
  const Json file = Json::parse_file(folder / "case.json");
  if (!fs::exists(folder / "inputs.safetensors"))
    fail(Code::kUnsupported, "[trace] ", folder.string(), " has no inputs.safetensors");
  const Checkpoint checkpoint = load_case_model(c, folder);
  CaseInputs inputs(TensorFiles::open(folder / "inputs.safetensors"), target_ids(checkpoint));
  const Model& model = *checkpoint.model;
  inputs.fit(c, model.spec());
  const Forward kernels = run(c, model, inputs.batch(), true);
  const Forward definitions = run(c, model, inputs.batch(), false);

  std::optional<TensorFiles> reference;
  if (fs::exists(folder / "outputs.safetensors"))
    reference = TensorFiles::open(folder / "outputs.safetensors");
  Trace trace;
  trace.against_reference = reference && reference->find("hidden_states.0");
  for (size_t i = 0; i < kernels.hidden_states.size(); ++i) {
    const std::string name = cat("hidden_states.", i);
    const Tensor& ours = kernels.hidden_states[i];
    TraceRow row{.layer = layer_name(model.spec(), i),
                 .limit = error_limit(file, name, kOutputLimit)};
    if (trace.against_reference) {
      const StoredTensor* stored = reference->find(name);
      if (!stored) continue;
      const Numbers given = read_numbers(*stored);
      row.error =
          relative_error(doubles(ours), real_values(given, inputs.layout(given, ours), ours));
    } else {
      row.error = relative_error(doubles(ours), doubles(definitions.hidden_states[i]));
    }
    row.diverges = trace.holds() && row.error > row.limit;
    if (row.diverges) {
      const std::vector<Step> steps = steps_of(kernels.steps, model.spec(), i);
      const Step* culprit =
          first_difference(steps, steps_of(definitions.steps, model.spec(), i), row.limit);
      row.why = culprit ? title(*culprit) + " leaves its definition"
                        : "its kernels agree with their definitions: look at the weights, the "
                          "config and the wiring of this layer";
    }
    trace.rows.push_back(std::move(row));
  }
  return trace;
}

}  // namespace stemma
