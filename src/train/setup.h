// Setup: what a recipe's words stand for: the tokenizer, the model (made, or read from files) and
// the data. Nothing is written and no large memory is taken here.
// Errors: Code::kNotFound and Code::kUnsupported as their readers say; Code::kUsage where the parts
// do not fit each other (a vocabulary larger than the model's table, a length beyond its
// positions).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/checkpoint.h"
#include "train/recipe.h"

namespace stemma {

struct Setup {
  Tokenizer tokenizer;
  Checkpoint checkpoint;
  std::optional<Checkpoint> generator;  // replaced-token detection: `checkpoint` discriminates
  Dataset data;
  bool scratch = false;            // the weights start at random
  std::vector<std::string> notes;  // what a person should know before it starts
};

// What a run changes: the adapter's parameters where the model has one, else the model's own.
ParamStore& learnt(Model& model);

// With `resume`, tokenizer and weights (of an adapter, where the recipe has one) come from that
// checkpoint.
Setup set_up(Ctx& c, const Recipe& recipe, const std::optional<std::filesystem::path>& resume);

// Whether the recipe starts from random weights.
bool from_scratch(const Recipe& recipe);

// The config.json of a model of these sizes, for a tokenizer and an objective.
Json config_for(const Recipe& recipe, const Tokenizer& tokenizer);

}  // namespace stemma
