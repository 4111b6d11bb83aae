// Reading config.json: the keys that several families share, in their old and new spellings,
// checked.
#pragma once

#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>

#include "base/json.h"
#include "model/family.h"

namespace stemma {

// The configuration with keys under their usual names too; its own win.
Json with_usual_names(Json config, const ConfigNames& names);
// A size: from 1 to 2^24, so that products of sizes fit; an Error names the key otherwise.
int integer(const Json& config, std::string_view key, int fallback);
// num_hidden_layers, at most 4096.
size_t layer_count(const Json& config, int fallback);
// head_dim where given, else width / heads, which must divide.
int head_size(const Json& config, int width, int heads);
double inverse_sqrt(int n);
// num_labels, or the size of id2label; 2 by default.
int label_count(const Json& config);
std::optional<Problem> problem_type(const Json& config);
// pad_token_id where it is a row of the table, -1 where there is none.
int padding_id(const Json& config, std::optional<int> fallback, int vocab);
// A token id that may be null or absent.
std::optional<int> token_id(const Json& config, std::string_view key);
// rope_parameters (new) or rope_theta and rope_scaling (old).
Rope rope_of(const Json& config, int head_size, double default_theta);

}  // namespace stemma
