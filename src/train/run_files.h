// Run files: what a training run leaves in its `out` directory, and how it is picked up again.
//   checkpoint-N/  config.json, model.safetensors, tokenizer files: a model directory as published
//                  ones are; with it optimizer.safetensors (exp_avg.NAME, exp_avg_sq.NAME),
//                  trainer_state.json (the fields of transformers' Trainer), data_state.json and
//                  recipe.toml: all that is needed to go on to the last bit.
// A run that trains an adapter leaves adapter_config.json and adapter_model.safetensors, as pip's
// peft writes them, in place of config.json and model.safetensors.
// Replaced-token detection leaves two model directories, generator/ and discriminator/ (its
// embedding merged), generator_optimizer.safetensors, and in embedding.safetensors the tables that
// the discriminator adds to the generator's.
// A checkpoint is filled under another name and then renamed, so one that can be seen is whole.
// Errors: Code::kNotFound, Code::kFailed (full disk, files that do not fit the model), naming them.
#pragma once

#include <filesystem>
#include <optional>
#include <span>

#include "model/checkpoint.h"
#include "text/tokenizer.h"
#include "train/metrics.h"
#include "train/optimizer.h"
#include "train/recipe.h"

namespace stemma {

// Where a run stands.
struct RunState {
  int64_t step = 0;          // optimiser steps done
  int64_t position = 0;      // sequences of the data used
  int64_t tokens = 0;        // tokens trained on
  double flops = 0;          // spent on them
  uint64_t fingerprint = 0;  // of the data set
};

std::filesystem::path checkpoint_path(const std::filesystem::path& out, int64_t step);
// The checkpoint of the most steps; nothing where there is none.
std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& out);

struct RunView {
  const Recipe& recipe;
  const Checkpoint& checkpoint;
  const Tokenizer& tokenizer;
  const Optimizer& optimizer;
  std::span<const Metric> metrics;
  // Replaced-token detection; else null. `checkpoint` and `optimizer` are the discriminator's.
  const Checkpoint* generator = nullptr;
  const Optimizer* generator_optimizer = nullptr;
};
void write_checkpoint(Ctx& c, const std::filesystem::path& path, const RunState& state,
                      const RunView& run);
// Generator and discriminator of such a run.
std::pair<Checkpoint, Checkpoint> load_replaced(Ctx& c, const std::filesystem::path& path);

RunState read_run_state(const std::filesystem::path& checkpoint);
// Fills the moments of an optimiser over what the run changes; `file` is one of the below.
constexpr const char *kMoments = "optimizer.safetensors",
                     *kGeneratorMoments = "generator_optimizer.safetensors";
void restore_moments(const std::filesystem::path& path, const Checkpoint& checkpoint,
                     Optimizer& optimizer, const char* file = kMoments);

}  // namespace stemma
