// A model in every format of the matrix product: near f32, the same for a sequence alone and among
// others, and straight from weights that a file stores narrower.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "model/checkpoint.h"
#include "run/engine.h"
#include "support/temp_dir.h"
#include "tensor/mapped.h"

namespace stemma {
namespace {

class Formats : public testing::Test {
 protected:
  Formats() : engine_(2), c_(engine_.ctx()) {
    checkpoint_ = empty_checkpoint(Json::parse(R"({"model_type": "llama",
      "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_attention_heads": 4,
      "num_key_value_heads": 2, "num_hidden_layers": 2, "intermediate_size": 96, "vocab_size": 53,
      "initializer_range": 0.2})"));
    checkpoint_.model->params().make_flat(c_, 5, false);
  }

  static Batch batch(int sequences) {
    Batch b;
    for (int s = 0; s < sequences; ++s) {
      Ints ids;
      for (int t = 0; t < 5 + 3 * s; ++t) ids.push_back((7 * t + 11 * s) % 53);
      b.main.append(ids);
    }
    return b;
  }
  std::vector<float> logits(const Model& model, int sequences) {
    const Batch b = batch(sequences);
    return model.answers(c_, b, model.forward(c_, b))[0].second.to_vector<float>();
  }
  // Of the logits, relative to those in f32.
  double error(Format format) {
    Model& model = *checkpoint_.model;
    model.set_format(Format::f32);
    const std::vector<float> want = logits(model, 3);
    model.set_format(format);
    const std::vector<float> got = logits(model, 3);
    double difference = 0, norm = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      difference += std::pow(static_cast<double>(got[i]) - want[i], 2);
      norm += std::pow(static_cast<double>(want[i]), 2);
    }
    return std::sqrt(difference / norm);
  }
  // The checkpoint's weights in a file that stores them as `dtype`.
  void store(const std::filesystem::path& directory, DType dtype) {
    save_checkpoint(directory, checkpoint_);
    std::vector<std::vector<uint16_t>> narrow;
    std::vector<TensorEntry> entries;
    const TensorFiles files = TensorFiles::open(directory);
    narrow.reserve(files.tensors().size());
    for (const StoredTensor& t : files.tensors()) {
      std::vector<uint16_t>& to = narrow.emplace_back(t.bytes.size() / sizeof(float));
      for (size_t i = 0; i < to.size(); ++i) {
        float value;
        std::memcpy(&value, t.bytes.data() + i * sizeof value, sizeof value);
        to[i] = dtype == DType::bf16 ? narrow_bf16(value) : narrow_f16(value);
      }
      entries.push_back(tensor_entry(
          t.name, dtype, t.shape,
          {reinterpret_cast<const uint8_t*>(to.data()), to.size() * sizeof(uint16_t)}));
    }
    write_safetensors(directory / "model.safetensors", entries);
  }

  Engine engine_;
  Ctx c_;
  Checkpoint checkpoint_;
};

// Errors of the logits, relative: 0.012, 0.053 and 0.37 here. Weights are random and narrow, the
// hardest that there are for scales.
TEST_F(Formats, AreNearF32) {
  for (const auto& [format, bound] :
       {std::pair(Format::bf16, 0.02), {Format::int8, 0.08}, {Format::int4, 0.5}}) {
    const double e = error(format);
    RecordProperty(format_name(format), std::to_string(e));
    EXPECT_GT(e, 0) << format_name(format);
    EXPECT_LT(e, bound) << format_name(format);
  }
}

TEST_F(Formats, ASequenceDoesNotDependOnItsCompany) {
  for (Format format : {Format::f32, Format::bf16, Format::int8, Format::int4}) {
    checkpoint_.model->set_format(format);
    const std::vector<float> alone = logits(*checkpoint_.model, 1);
    std::vector<float> among = logits(*checkpoint_.model, 4);
    among.resize(alone.size());
    EXPECT_EQ(alone, among) << format_name(format);
  }
}

// In place from the mapping, or widened first: the same bits.
TEST_F(Formats, StoredWeightsAreReadInPlace) {
  for (DType dtype : {DType::bf16, DType::f16}) {
    const TempDir dir;
    store(dir.path(), dtype);
    for (Format format : {Format::f32, Format::bf16, Format::int8}) {
      const Checkpoint loaded = load_checkpoint(c_, dir.path(), {.format = format});
      EXPECT_EQ(loaded.stored, dtype);
      const Parameter& matrix = loaded.model->params().all().front();
      EXPECT_TRUE(is_mapped(matrix.value));
      EXPECT_EQ(matrix.value.dtype(), dtype);
      const std::vector<float> mapped = logits(*loaded.model, 2);
      loaded.model->params().make_flat(c_, 0, false);
      EXPECT_EQ(loaded.model->params().all().front().value.dtype(), DType::f32);
      EXPECT_EQ(logits(*loaded.model, 2), mapped);
    }
  }
}

TEST_F(Formats, WhatIsStoredNarrowIsSavedAsF32) {
  const TempDir narrow, wide;
  store(narrow.path(), DType::bf16);
  const Checkpoint loaded = load_checkpoint(c_, narrow.path(), {.format = Format::f32});
  save_checkpoint(wide.path(), loaded);
  const Checkpoint again = load_checkpoint(c_, wide.path());
  EXPECT_EQ(again.stored, DType::f32);
  EXPECT_EQ(again.model->format(), Format::f32);
  EXPECT_EQ(logits(*again.model, 2), logits(*loaded.model, 2));
}

}  // namespace
}  // namespace stemma
