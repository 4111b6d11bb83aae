// Dataflow: what one forward pass does, op by op: where in the model, which kernel, what goes in
// and out, how many bytes that is. `stemma inspect --dataflow` prints it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/model.h"
#include "tensor/recorder.h"

namespace stemma {

struct Operand {
  std::string_view type;  // a tensor's dtype; or the format of what is packed
  Shape shape;
  bool operator==(const Operand&) const = default;
};

struct Step {
  std::string block;  // "embed", "decoder.3", "heads.lm"
  std::string part;   // of the block: "attn", "ffn" or nothing
  std::string op, kernel;
  std::vector<Operand> inputs, outputs;  // packed weights and pages of keys and values included
  int64_t bytes = 0;                     // of inputs and outputs, each touched once
  double seconds = 0;                    // by the clock
  // All outputs' values, one after another, where the recorder keeps them.
  std::vector<double> values = {};
};

// Collects the steps of one forward after another.
class StepRecorder : public Recorder {
 public:
  explicit StepRecorder(bool keep_values = false) : keep_values_(keep_values) {}
  void ran(const OpRecord& record) override;
  // The steps since the last take().
  std::vector<Step> take() { return std::exchange(steps_, {}); }

 private:
  bool keep_values_;
  std::vector<Step> steps_;
};

// The steps of a forward over one sequence of `tokens` with the model's answers; with `decode`,
// those of the token after them, which continues their state. Errors: `decode` without a causal
// model that has a language-model head; more tokens than the model has positions.
std::vector<Step> dataflow(Ctx& c, const Model& model, int tokens, bool decode);

// Blocks of a stack that do the same, as one: the steps of the first, with mean times.
struct Section {
  std::vector<std::string> blocks;
  std::vector<Step> steps;   // of one block
  int64_t bytes = 0;         // of all blocks
  double seconds = 0;        // likewise
  std::string name() const;  // "decoder.0, decoder.2 .. decoder.5 (x 5)"
};
// In the order in which each section's first block comes.
std::vector<Section> fold(const std::vector<Step>& steps, bool identical_blocks = true);

}  // namespace stemma
