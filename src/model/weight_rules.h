// Weight rules: the reversible table between the names in a published checkpoint and our own.
// {L} stands for a layer number. A rule's published name is relative to the base model's prefix
// ("bert.", "model.") or, for heads, absolute. Bare base-model checkpoints have no prefix; both are
// read. Errors: see WeightMap.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stemma {

struct WeightRule {
  std::string published, own;
  bool head = false;  // `published` is absolute
};

struct WeightRules {
  std::string base_prefix;
  std::vector<WeightRule> rules;
  // Published names that carry nothing to load: buffers, copies of tied weights. May hold {L}.
  std::vector<std::string> ignorable;
  // Endings that older files use: {"LayerNorm.gamma", "LayerNorm.beta"} style pairs {old, new}.
  std::vector<std::pair<std::string, std::string>> legacy_endings;
  bool bare = false;  // this class is published without the prefix
};

// Our own name for a published one, nothing where no rule knows it.
std::optional<std::string> own_name(const WeightRules& rules, std::string_view published);
// And back; `with_prefix` says whether base-model names carry the prefix.
std::optional<std::string> published_name(const WeightRules& rules, std::string_view own,
                                          bool with_prefix);
bool is_ignorable(const WeightRules& rules, std::string_view published);

}  // namespace stemma
