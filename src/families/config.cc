#include "families/config.h"

#include <cmath>

namespace stemma {
namespace {

constexpr int64_t kLargestSize = 1 << 24;
constexpr int kMostLayers = 4096;

const Json* present(const Json& object, std::string_view key) {
  const Json* found = object.find(key);
  return found && !found->is_null() ? found : nullptr;
}

std::optional<double> number(const Json& object, std::string_view key) {
  const Json* found = present(object, key);
  return found ? std::optional(found->as_double()) : std::nullopt;
}

double required(const Json& object, std::string_view key, std::string_view kind) {
  const Json* found = present(object, key);
  check(found, "[config.json] rope type \"", kind, "\" needs the key ", key);
  return found->as_double();
}

}  // namespace

Json with_usual_names(Json config, const ConfigNames& names) {
  for (const auto& [own, usual] : names)
    if (const Json* value = present(config, own)) config.set(std::string(usual), Json(*value));
  return config;
}

int integer(const Json& config, std::string_view key, int fallback) {
  const int64_t value = config.get(key, int64_t{fallback});
  check(value > 0 && value <= kLargestSize, "[config.json] ", key, " is ", value,
        ", which is not a size between 1 and ", kLargestSize);
  return static_cast<int>(value);
}

size_t layer_count(const Json& config, int fallback) {
  const int layers = integer(config, "num_hidden_layers", fallback);
  check(layers <= kMostLayers, "[config.json] num_hidden_layers is ", layers, ", more than ",
        kMostLayers);
  return static_cast<size_t>(layers);
}

int head_size(const Json& config, int width, int heads) {
  if (present(config, "head_dim")) return integer(config, "head_dim", 0);
  check(width % heads == 0, "[config.json] hidden_size ", width, " is not a multiple of ", heads,
        " attention heads");
  return width / heads;
}

double inverse_sqrt(int n) { return 1.0 / std::sqrt(static_cast<double>(n)); }

int label_count(const Json& config) {
  if (const Json* names = present(config, "id2label")) return static_cast<int>(names->size());
  return integer(config, "num_labels", 2);
}

std::optional<Problem> problem_type(const Json& config) {
  const std::string name = config.get("problem_type", "");
  if (name.empty()) return std::nullopt;
  if (name == "regression") return Problem::regression;
  if (name == "single_label_classification") return Problem::single_label;
  if (name == "multi_label_classification") return Problem::multi_label;
  fail(Code::kUnsupported, "[config.json] problem_type \"", name,
       "\" is not regression, single_label_classification or multi_label_classification");
}

int padding_id(const Json& config, std::optional<int> fallback, int vocab) {
  const Json* given = config.find("pad_token_id");
  if (!given) return fallback.value_or(-1);
  if (given->is_null()) return -1;
  const int64_t id = given->as_int();
  return id >= 0 && id < vocab ? static_cast<int>(id) : -1;
}

std::optional<int> token_id(const Json& config, std::string_view key) {
  const Json* found = present(config, key);
  return found ? std::optional(static_cast<int>(found->as_int())) : std::nullopt;
}

Rope rope_of(const Json& config, int head_size, double default_theta) {
  const Json* modern = present(config, "rope_parameters");
  const Json* legacy = present(config, "rope_scaling");
  const Json none = Json::object();
  const Json& keys = modern ? *modern : legacy ? *legacy : none;
  auto either = [&](std::string_view key, double fallback) {
    if (auto inside = number(keys, key)) return *inside;
    return number(config, key).value_or(fallback);
  };

  Rope rope;
  rope.theta = either("rope_theta", default_theta);
  rope.width = static_cast<int>(head_size * either("partial_rotary_factor", 1.0)) / 2 * 2;
  const int max_positions = integer(config, "max_position_embeddings", 2048);
  const double original =
      either("original_max_position_embeddings", static_cast<double>(max_positions));

  const std::string kind = keys.get("rope_type", keys.get("type", "default").c_str());
  if (kind == "default") return rope;
  if (kind == "linear") {
    rope.scaling = RopeLinear{required(keys, "factor", kind)};
  } else if (kind == "llama3") {
    RopeLlama3 s;
    s.factor = required(keys, "factor", kind);
    s.low = required(keys, "low_freq_factor", kind);
    s.high = required(keys, "high_freq_factor", kind);
    s.original = original;
    rope.scaling = s;
  } else if (kind == "yarn") {
    RopeYarn s;
    s.original = original;
    s.factor = number(keys, "factor").value_or(max_positions / original);
    s.beta_fast = number(keys, "beta_fast").value_or(32);
    s.beta_slow = number(keys, "beta_slow").value_or(1);
    s.attention_factor = number(keys, "attention_factor");
    s.mscale = number(keys, "mscale").value_or(0);
    s.mscale_all_dim = number(keys, "mscale_all_dim").value_or(0);
    s.truncate = keys.get("truncate", true);
    rope.scaling = s;
  } else {
    fail(Code::kUnsupported, "[config.json] rope type \"", kind,
         "\" is not supported; known are default, linear, llama3, yarn");
  }
  return rope;
}

}  // namespace stemma
