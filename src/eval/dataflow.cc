#include "eval/dataflow.h"

#include <algorithm>
#include <charconv>

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
    if (t) out.push_back({dtype_name(t.dtype()), t.shape()});
  return out;
}

bool alike(const Step& a, const Step& b) {
  return a.part == b.part && a.op == b.op && a.kernel == b.kernel && a.inputs == b.inputs &&
         a.outputs == b.outputs;
}

// "decoder.12" is number 12 of the stack "decoder"; what is no block of a stack has the number -1.
std::string_view stack(std::string_view name) { return name.substr(0, name.find('.')); }
int number(std::string_view name) {
  int n = -1;
  const size_t dot = name.find('.');
  if (dot != name.npos) std::from_chars(name.data() + dot + 1, name.data() + name.size(), n);
  return n;
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
  if (record.packed) {
    step.inputs.push_back({record.packed->type, record.packed->shape});
    step.bytes += record.packed->bytes;
  }
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

std::string Section::name() const {
  std::string text;
  for (size_t begin = 0, end; begin < blocks.size(); begin = end) {
    for (end = begin + 1; end < blocks.size() && number(blocks[end]) == number(blocks[end - 1]) + 1;
         ++end) {
    }
    text += (begin > 0 ? ", " : "") + blocks[begin];
    if (end > begin + 1) text += (end > begin + 2 ? " .. " : ", ") + blocks[end - 1];
  }
  return blocks.size() > 1 ? cat(text, " (x ", blocks.size(), ")") : text;
}

std::vector<Section> fold(const std::vector<Step>& steps, bool identical_blocks) {
  std::vector<Section> sections;
  for (size_t begin = 0, end; begin < steps.size(); begin = end) {
    for (end = begin; end < steps.size() && steps[end].block == steps[begin].block; ++end) {
    }
    const std::span<const Step> block(steps.data() + begin, end - begin);
    const std::string& name = block.front().block;
    // Its like among the blocks of its stack that came before it.
    Section* same = nullptr;
    if (identical_blocks && number(name) >= 0)
      for (Section& section : sections)
        if (stack(section.blocks.front()) == stack(name) &&
            std::ranges::equal(section.steps, block, alike))
          same = &section;
    if (!same) {
      same = &sections.emplace_back();
      same->steps.assign(block.begin(), block.end());
      for (Step& step : same->steps) step.seconds = 0;
    }
    same->blocks.push_back(name);
    for (size_t i = 0; i < block.size(); ++i) {
      same->steps[i].seconds += block[i].seconds;
      same->bytes += block[i].bytes;
      same->seconds += block[i].seconds;
    }
  }
  for (Section& section : sections)
    for (Step& step : section.steps) step.seconds /= static_cast<double>(section.blocks.size());
  return sections;
}

}  // namespace stemma
