#include "eval/dataflow.h"

#include <algorithm>
#include <cctype>

#include "run/generate.h"

namespace stemma {
namespace {

// "decoder.3.attn" is the part "attn" of the block "decoder.3", "heads.lm" a block.
size_t block_length(const std::string& place) {
  size_t end = place.find('.');
  if (end == std::string::npos) return place.size();
  end = std::min(place.find('.', end + 1), place.size());
  return end;
}

std::vector<Operand> operands(std::span<const Tensor> tensors) {
  std::vector<Operand> out;
  for (const Tensor& t : tensors)
    if (t) out.push_back({t.shape(), t.dtype()});
  return out;
}

bool alike(const Step& a, const Step& b) {
  return a.part == b.part && a.op == b.op && a.kernel == b.kernel && a.inputs == b.inputs &&
         a.outputs == b.outputs;
}

bool is_block_of_stack(const std::string& name) {
  return !name.empty() && std::isdigit(static_cast<unsigned char>(name.back())) != 0;
}

}  // namespace

void StepRecorder::ran(const OpRecord& record) {
  Step step;
  const size_t cut = block_length(place());
  step.block = place().substr(0, cut);
  if (cut < place().size()) step.part = place().substr(cut + 1);
  step.op = record.op;
  step.kernel = record.kernel;
  step.inputs = operands(record.inputs);
  step.outputs = operands(record.outputs);
  step.bytes = bytes_of(record.inputs) + bytes_of(record.outputs);
  step.seconds = record.seconds;
  if (keep_values_)
    for (const Tensor& t : record.outputs)
      for (int64_t i = 0; t && i < t.elements(); ++i) step.values.push_back(t.item(i));
  steps_.push_back(std::move(step));
}

std::vector<Step> dataflow(Ctx& c, const Model& model, int tokens, bool decode) {
  check(tokens >= 1 && tokens + decode <= model.spec().max_positions, "[dataflow] ", tokens,
        " tokens do not fit: the model has ", model.spec().max_positions, " positions");
  const Ints ids(static_cast<size_t>(tokens), 0);
  StepRecorder recorder;
  Ctx recorded = c;
  recorded.rec = &recorder;
  if (decode) {
    GenerateOptions options;
    options.max_new_tokens = 2;  // the prompt gives the first, one decoded token the second
    std::vector<Step> steps;
    generate(recorded, model, ids, options, nullptr, [&](int32_t, std::string_view) {
      steps = recorder.take();
      return true;
    });
    return steps;
  } else {
    Batch batch;
    batch.main.append(ids);
    if (model.spec().reads_source()) batch.source.emplace().append(ids);
    model.answers(recorded, batch, model.forward(recorded, batch));
  }
  return recorder.take();
}

std::vector<Section> fold(const std::vector<Step>& steps, bool identical_blocks) {
  std::vector<Section> sections;
  for (size_t begin = 0, end; begin < steps.size(); begin = end) {
    for (end = begin; end < steps.size() && steps[end].block == steps[begin].block; ++end) {
    }
    Section section;
    section.first = section.last = steps[begin].block;
    section.count = 1;
    section.steps.assign(steps.begin() + static_cast<int64_t>(begin),
                         steps.begin() + static_cast<int64_t>(end));
    for (const Step& step : section.steps) {
      section.bytes += step.bytes;
      section.seconds += step.seconds;
    }
    if (identical_blocks && !sections.empty() && is_block_of_stack(section.first) &&
        is_block_of_stack(sections.back().last) &&
        std::equal(section.steps.begin(), section.steps.end(), sections.back().steps.begin(),
                   sections.back().steps.end(), alike)) {
      Section& same = sections.back();
      for (size_t i = 0; i < same.steps.size(); ++i)
        same.steps[i].seconds += section.steps[i].seconds;
      same.last = section.last;
      same.bytes += section.bytes;
      same.seconds += section.seconds;
      ++same.count;
    } else {
      sections.push_back(std::move(section));
    }
  }
  for (Section& section : sections)
    for (Step& step : section.steps) step.seconds /= section.count;
  return sections;
}

}  // namespace stemma
