// Family: the registry that a file in families/ enters. A family turns a config.json into a
// ModelSpec and a table of weight rules; it computes nothing.
// Errors of find_family(): Code::kUnsupported for a model_type nobody claims, and whatever the
// family says of a dialect it does not speak.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "model/spec.h"
#include "model/weight_rules.h"

namespace stemma {

struct Resolved {
  ModelSpec spec;
  WeightRules rules;
};

struct Family {
  std::string_view model_type;
  std::string_view parent;   // the system that it changed, itself a family or not
  std::string_view summary;  // what it changed, in one line
  std::vector<std::string_view>
      architectures;  // what config.json may name; the first is the default
  // `architecture` is one of the above.
  Resolved (*resolve)(const Json& config, std::string_view architecture);
};

// What a family's configuration class calls keys that others call otherwise: pairs {own, usual}, as
// transformers' attribute_map.
using ConfigNames = std::vector<std::pair<std::string_view, std::string_view>>;
// The family's own word for a usual key.
std::string own_key(std::string_view model_type, std::string_view usual);

// What the published models of a family have where its configuration class has it otherwise: keys
// for a model made from scratch for sequences of `length`.
Json customs_of(std::string_view model_type, int64_t length);

// All families, by model_type.
const std::vector<Family>& families();
// The spec and rules of a config.json.
Resolved resolve(const Json& config);

struct RegisterFamily {
  explicit RegisterFamily(Family family);
};
struct RegisterCustoms {
  RegisterCustoms(std::string_view model_type, Json (*customs)(int64_t length));
};
struct RegisterConfigNames {
  RegisterConfigNames(std::string_view model_type, const ConfigNames& names);
};

}  // namespace stemma

// STEMMA_CONFIG_NAMES(gpt2, {"n_embd", "hidden_size"}, ...) defines kConfigNames.
#define STEMMA_CONFIG_NAMES(type, ...)                             \
  static const ::stemma::ConfigNames kConfigNames = {__VA_ARGS__}; \
  static const ::stemma::RegisterConfigNames names_of_##type(#type, kConfigNames)

// STEMMA_FAMILY(bert, "transformer", "what it changed", "BertModel", ...) { return Resolved{...}; }
// defines the function that resolves `config` for `architecture`; STEMMA_FAMILY_NAMED() is for a
// model_type that is no C++ name.
#define STEMMA_FAMILY(type, parent, summary, ...) \
  STEMMA_FAMILY_NAMED(type, #type, parent, summary, __VA_ARGS__)
#define STEMMA_FAMILY_NAMED(name, type, parent, summary, ...)                             \
  static ::stemma::Resolved resolve_##name(const ::stemma::Json& config,                  \
                                           std::string_view architecture);                \
  static const ::stemma::RegisterFamily register_##name(                                  \
      {type, parent, summary, {__VA_ARGS__}, resolve_##name});                            \
  static ::stemma::Resolved resolve_##name([[maybe_unused]] const ::stemma::Json& config, \
                                           [[maybe_unused]] std::string_view architecture)
