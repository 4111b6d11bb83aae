#include "eval/trace.h"

#include <algorithm>

#include "eval/compare.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

// What comes out of the embeddings and of each layer, first of an encoder.
struct Layer {
  std::string stack;  // "encoder" or "decoder"
  size_t index;       // 0: the embeddings
  Tensor out;
};

struct Forward {
  std::vector<Layer> layers;
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
  for (size_t i = 0; i < states.encoder.size(); ++i)
    forward.layers.push_back({"encoder", i, states.encoder[i]});
  for (size_t i = 0; i < states.decoder.size(); ++i)
    forward.layers.push_back({"decoder", i, states.decoder[i]});
  forward.steps = recorder.take();
  return forward;
}

const StackSpec& stack_of(const ModelSpec& spec, const Layer& layer) {
  return layer.stack == "encoder" ? *spec.encoder : *spec.decoder;
}

bool is_last(const ModelSpec& spec, const Layer& layer) {
  return layer.index == stack_of(spec, layer).executions();
}

// The block whose output it is, counted from 1; 0: the embeddings.
size_t block_of(const ModelSpec& spec, const Layer& layer) {
  const bool embeds = stack_of(spec, layer).listed == Listed::inputs;
  return embeds ? layer.index : is_last(spec, layer) ? 0 : layer.index + 1;
}

std::string layer_name(const ModelSpec& spec, const Layer& layer) {
  const StackSpec& stack = stack_of(spec, layer);
  const bool outputs = stack.listed == Listed::outputs;
  if (outputs && is_last(spec, layer)) return layer.stack + ".final_norm";
  if (!outputs && layer.index == 0)
    return spec.reads_source() ? cat("embed of the ", layer.stack) : "embed";
  const bool normed = !outputs && is_last(spec, layer) && stack.final_norm;
  return cat(layer.stack, ".", block_of(spec, layer) - 1, normed ? " + final_norm" : "");
}

// The name of a reference's tensor.
std::string state_name(const ModelSpec& spec, const Layer& layer) {
  return cat(spec.reads_source() ? layer.stack + "_" : "", "hidden_states.", layer.index);
}

// The steps that make a layer's output out of the one before.
std::vector<Step> steps_of(const std::vector<Step>& all, const ModelSpec& spec,
                           const Layer& layer) {
  const size_t block = block_of(spec, layer);
  std::vector<Step> steps;
  for (const Step& step : all) {
    // Kernels and definitions are reached by other copies and views.
    if (step.kernel == "primitive") continue;
    const bool own = block > 0 && step.block == cat(layer.stack, ".", block - 1);
    if (own || (layer.index == 0 && step.block == "embed") ||
        (is_last(spec, layer) && step.block == layer.stack + ".final_norm"))
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
  trace.against_reference =
      reference && reference->find(state_name(model.spec(), kernels.layers.front()));
  for (size_t i = 0; i < kernels.layers.size(); ++i) {
    const Layer& layer = kernels.layers[i];
    const std::string name = state_name(model.spec(), layer);
    const Tensor& ours = layer.out;
    TraceRow row{.layer = layer_name(model.spec(), layer),
                 .limit = error_limit(file, name, kOutputLimit)};
    if (trace.against_reference) {
      const StoredTensor* stored = reference->find(name);
      if (!stored) continue;
      const Numbers given = read_numbers(*stored);
      row.error =
          relative_error(doubles(ours), real_values(given, inputs.layout(given, ours), ours));
    } else {
      row.error = relative_error(doubles(ours), doubles(definitions.layers[i].out));
    }
    row.diverges = trace.holds() && row.error > row.limit;
    if (row.diverges) {
      const std::vector<Step> steps = steps_of(kernels.steps, model.spec(), layer);
      const Step* culprit =
          first_difference(steps, steps_of(definitions.steps, model.spec(), layer), row.limit);
      row.why = culprit ? title(*culprit) + " leaves its definition"
                        : "its kernels agree with their definitions: look at the weights, the "
                          "config and the wiring of this layer";
    }
    trace.rows.push_back(std::move(row));
  }
  return trace;
}

}  // namespace stemma
