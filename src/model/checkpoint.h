// Checkpoint: a published model directory (config.json and safetensors) as a Model, and back.
// Matrices stored as f32, bf16 or f16 are used in place, from a read-only mapping; the rest is
// converted to f32. Errors: Code::kNotFound (no such directory, no weights), Code::kUnsupported
// (family, dtype), and Code::kFailed naming tensors that are missing, unknown or of the wrong
// shape, both sides listed. Thread safety: loading is one thread's; the result's const Model is
// shared.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "model/family.h"
#include "model/model.h"
#include "model/safetensors.h"

namespace stemma {

struct Checkpoint {
  Json config;
  WeightRules rules;
  bool prefixed = true;  // base-model names carry the family's prefix
  std::unique_ptr<Model> model;
  DType stored = DType::f32;       // what most of the weights are stored in
  std::vector<std::string> fresh;  // parameters the files did not have (only where allowed)

  // The published name of a parameter; with [i] where it is the i-th of those in one tensor.
  std::string published(const Parameter& parameter) const;
};

// A tensor as it is published: parameters whose rows follow each other or take turns, maybe
// transposed.
struct PublishedTensor {
  std::string name;
  Shape shape;
  std::vector<const Parameter*> parts;
  bool transposed = false;
  int turns = 0;      // see WeightRule
  Shape stored = {};  // the extents in the file
  bool rearranged() const { return parts.size() > 1 || transposed; }
  // All of it from what its parts have there (&Parameter::value, &Parameter::grad).
  std::vector<float> values(Tensor Parameter::*of) const;
};
// In the order of the parameters.
std::vector<PublishedTensor> published_tensors(const Checkpoint& checkpoint);

struct LoadOptions {
  bool heads = true;    // false: the base model alone
  bool decoder = true;  // false: an encoder before a decoder alone
  // Replaces what config.json names; head weights that the files lack then start fresh.
  std::optional<std::string> architecture = {};
  // A directory of pip's peft, for all sequences; empty: none.
  std::filesystem::path adapter = {};
  // How the model computes; not given: default_format() of what most of its weights are stored in.
  std::optional<Format> format = {};
};

// bf16 for weights stored as bf16, where this CPU multiplies bf16 faster than f32; else f32.
Format default_format(DType stored);

Checkpoint load_checkpoint(Ctx& c, const std::filesystem::path& directory,
                           const LoadOptions& options = {});

// From a config.json alone, without weights: parameters are declared, not allocated.
Checkpoint empty_checkpoint(Json config, const LoadOptions& options = {});

// Writes config.json and model.safetensors (f32, under the published names) into `directory`, which
// exists.
void save_checkpoint(const std::filesystem::path& directory, const Checkpoint& checkpoint);

// A stored tensor: in place where it can be (f32; matrices of bf16 and f16), else converted to f32.
Tensor stored_tensor(Ctx& c, const StoredTensor& stored, std::shared_ptr<const TensorFiles> owner);

}  // namespace stemma
