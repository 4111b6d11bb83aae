// Adapter files: LoRA adapters in the directories of pip's peft (adapter_config.json and
// adapter_model.safetensors, tensors named base_model.model.MODULE.lora_A.weight), in and out, and
// adapters made for training or merged into the weights.
// Errors: Code::kNotFound; Code::kUnsupported for what an adapter may be besides LoRA pairs on the
// matrices of the blocks (DoRA, biases, whole modules, embeddings, patterns of alphas);
// Code::kFailed for tensors that do not fit the model or have no place in it, naming them.
#pragma once

#include <filesystem>
#include <memory>

#include "model/checkpoint.h"
#include "nn/adapter.h"

namespace stemma {

// A fresh adapter for the matrices of the blocks that `spec` names; its parameters have no memory
// yet. Errors: Code::kUsage where a target names nothing, with what there is to name.
std::unique_ptr<Adapter> make_adapter(const Checkpoint& checkpoint, const LoraSpec& spec);

std::unique_ptr<Adapter> load_adapter(Ctx& c, const Checkpoint& checkpoint,
                                      const std::filesystem::path& directory);
// Into `directory`, which exists.
void save_adapter(const std::filesystem::path& directory, const Checkpoint& checkpoint,
                  const Adapter& adapter);

// The name that peft gives a parameter of an adapter.
std::string peft_name(const Checkpoint& checkpoint, const Parameter& parameter);

// W += s B A in every slice that the adapter has a pair for: the model then computes without it
// what it computed with it, up to rounding.
void merge_adapter(Ctx& c, Checkpoint& checkpoint, const Adapter& adapter);

}  // namespace stemma
