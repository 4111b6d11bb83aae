// The trace names the layer that a damaged case leaves its reference in, and the op whose kernel
// leaves its definition; the dataflow lists what a forward does and folds what repeats.
#include "eval/trace.h"

#include <gtest/gtest.h>

#include <cstring>

#include "model/checkpoint.h"
#include "model/safetensors.h"
#include "run/engine.h"
#include "support/temp_dir.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

const fs::path kCases = fs::path(STEMMA_SOURCE_DIR) / "tests" / "cases";

// A copy of `from` in which every value of the tensor called `name` is larger by a tenth.
void damage(const fs::path& from, const fs::path& to, std::string_view name) {
  fs::copy(from, to, fs::copy_options::recursive);
  const fs::path weights = to / "model" / "model.safetensors";
  std::vector<std::vector<uint8_t>> bytes;
  std::vector<TensorEntry> entries;
  const TensorFiles files = TensorFiles::open(from / "model" / "model.safetensors");
  bytes.reserve(files.tensors().size());
  bool found = false;
  for (const StoredTensor& t : files.tensors()) {
    bytes.emplace_back(t.bytes.begin(), t.bytes.end());
    for (size_t i = 0; t.name == name && i + 4 <= bytes.back().size(); i += 4) {
      found = true;
      float v;
      std::memcpy(&v, &bytes.back()[i], 4);
      v *= 1.1f;
      std::memcpy(&bytes.back()[i], &v, 4);
    }
    entries.push_back(tensor_entry(t.name, t.dtype, t.shape, bytes.back()));
  }
  ASSERT_TRUE(found) << name;
  write_safetensors(weights, entries);
}

TEST(Trace, WholeCasesHold) {
  Engine engine(1);
  Ctx c = engine.ctx();
  for (const char* name : {"bert/base", "llama/base", "llama/rope_yarn", "qwen3/causal"}) {
    const Trace trace = trace_case(c, kCases / name);
    EXPECT_TRUE(trace.holds()) << name;
    EXPECT_EQ(trace.against_reference, std::string(name) != "llama/rope_yarn") << name;
    ASSERT_GE(trace.rows.size(), 3u);
    EXPECT_EQ(trace.rows[0].layer, "embed");
  }
}

TEST(Trace, NamesTheLayerOfADamagedWeight) {
  Engine engine(1);
  Ctx c = engine.ctx();
  const struct {
    const char *from, *tensor, *layer;
  } kDamages[] = {
      {"bert/base", "embeddings.LayerNorm.weight", "embed"},
      {"bert/base", "encoder.layer.0.output.dense.weight", "encoder.0"},
      {"bert/base", "encoder.layer.1.attention.self.query.weight", "encoder.1"},
      {"llama/base", "layers.1.mlp.up_proj.weight", "decoder.1 + final_norm"},
  };
  for (const auto& d : kDamages) {
    const TempDir dir;
    damage(kCases / d.from, dir / "case", d.tensor);
    const Trace trace = trace_case(c, dir / "case");
    EXPECT_FALSE(trace.holds()) << d.tensor;
    int marked = 0;
    for (const TraceRow& row : trace.rows) {
      if (!row.diverges) continue;
      ++marked;
      EXPECT_EQ(row.layer, d.layer) << d.tensor;
      EXPECT_NE(row.why.find("look at the weights"), std::string::npos) << row.why;
    }
    EXPECT_EQ(marked, 1) << d.tensor;
  }
}

TEST(Trace, NamesTheFirstKernelThatLeavesItsDefinition) {
  const auto step = [](const char* op, std::vector<double> values) {
    Step s;
    s.op = op;
    s.values = std::move(values);
    return s;
  };
  const std::vector<Step> definitions = {step("a", {1, 2}), step("b", {3}), step("c", {4})};
  std::vector<Step> kernels = definitions;
  EXPECT_EQ(first_difference(kernels, definitions, 1e-5), nullptr);
  kernels[1].values[0] = 3 + 1e-7;
  EXPECT_EQ(first_difference(kernels, definitions, 1e-5), nullptr);
  kernels[1].values[0] = 3.1;
  kernels[2].values[0] = 5;
  EXPECT_EQ(first_difference(kernels, definitions, 1e-5), &kernels[1]);
  kernels[1].values[0] = std::nan("");
  EXPECT_EQ(first_difference(kernels, definitions, 1e-5), &kernels[1]);
  kernels[0].op = "other";
  EXPECT_EQ(first_difference(kernels, definitions, 1e-5), &kernels[0]);
}

TEST(Dataflow, ListsStepsAndFoldsWhatRepeats) {
  Engine engine(1);
  Ctx c = engine.ctx();
  const Checkpoint checkpoint = load_checkpoint(c, kCases / "bert" / "base" / "model");
  const std::vector<Step> steps = dataflow(c, *checkpoint.model, 7, false);
  int norms = 0;
  for (const Step& step : steps) {
    EXPECT_GT(step.bytes, 0) << step.op;
    EXPECT_FALSE(step.block.empty()) << step.op;
    EXPECT_FALSE(step.outputs.empty()) << step.op;
    if (step.op != "add_layer_norm" || step.block == "embed") continue;
    ++norms;
    EXPECT_EQ(step.kernel, "rows");
    EXPECT_EQ(step.outputs[0].shape, (Shape{7, 36}));
  }
  EXPECT_EQ(norms, 6) << "two a block, three blocks";
  const std::vector<Section> folded = fold(steps), each = fold(steps, false);
  EXPECT_EQ(each.size(), folded.size() + 2);
  int64_t bytes = 0, bytes_each = 0;
  for (const Section& section : folded) {
    bytes += section.bytes;
    if (section.blocks.front() == "encoder.0") {
      EXPECT_EQ(section.name(), "encoder.0 .. encoder.2 (x 3)");
    }
  }
  for (const Section& section : each) bytes_each += section.bytes;
  EXPECT_EQ(bytes, bytes_each);
}

// Kinds of blocks that alternate are a section each.
TEST(Dataflow, FoldsBlocksThatAreApart) {
  std::vector<Step> steps;
  for (const auto& [block, op] :
       std::vector<std::pair<std::string, std::string>>{{"embed", "embedding"},
                                                        {"decoder.0", "a"},
                                                        {"decoder.1", "b"},
                                                        {"decoder.2", "a"},
                                                        {"decoder.3", "a"},
                                                        {"decoder.4", "b"},
                                                        {"decoder.5", "a"},
                                                        {"heads.lm", "linear"}})
    steps.push_back({.block = block,
                     .part = {},
                     .op = op,
                     .kernel = {},
                     .inputs = {},
                     .outputs = {},
                     .bytes = 1,
                     .seconds = 2});
  std::string names;
  for (const Section& section : fold(steps)) names += section.name() + "; ";
  EXPECT_EQ(names,
            "embed; decoder.0, decoder.2, decoder.3, decoder.5 (x 4); decoder.1, decoder.4 (x 2); "
            "heads.lm; ");
  EXPECT_EQ(fold(steps)[1].bytes, 4);
  EXPECT_EQ(fold(steps)[1].steps[0].seconds, 2);
}

// A product reads its weight, and decoding all the keys and values before it.
TEST(Dataflow, BytesHoldWeightsAndPages) {
  Engine engine(1);
  Ctx c = engine.ctx();
  const Checkpoint checkpoint = load_checkpoint(c, kCases / "llama" / "causal" / "model");
  checkpoint.model->set_format(Format::int8);
  int64_t weights = 0;
  for (const Weight& w : checkpoint.model->params().weights()) weights += w.packed().bytes;
  for (const bool decode : {false, true}) {
    int64_t read = 0;
    for (const Step& step : dataflow(c, *checkpoint.model, 7, decode)) {
      if (step.op == "linear")
        read +=
            step.bytes - 4 * step.inputs[0].shape.elements() - 4 * step.outputs[0].shape.elements();
      if (step.op == "attention" && decode) {
        EXPECT_EQ(step.inputs.back(), (Operand{"BF16", {8, 6, 12}}));
      }
    }
    EXPECT_EQ(read, weights);
  }
}

TEST(Dataflow, DecodingIsOneRow) {
  Engine engine(1);
  Ctx c = engine.ctx();
  const Checkpoint checkpoint = load_checkpoint(c, kCases / "llama" / "causal" / "model");
  int rows = 0;
  for (const Step& step : dataflow(c, *checkpoint.model, 7, true)) {
    if (step.op != "attention") continue;
    ++rows;
    EXPECT_EQ(step.outputs[0].shape[0], 1);
  }
  EXPECT_EQ(rows, 2) << "one a block, of the decoded token alone";
  EXPECT_THROW(dataflow(c, *checkpoint.model, 100000, false), Error);
}

}  // namespace
}  // namespace stemma
