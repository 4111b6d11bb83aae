// Weight rules: the reversible table between the tensors of a published checkpoint and our own.
// Holes in names, {L} for a layer, {E} for an expert, stand for numbers. A rule's published name is
// relative to the base model's prefix ("bert.", "model.") or, for heads, absolute. Bare base-model
// checkpoints have no prefix; both are read.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/shape.h"

namespace stemma {

struct WeightRule {
  // The parameter that the tensor is; or several, whose rows follow each other in it.
  struct Own : std::vector<std::string> {
    Own(const char* name) : vector{name} {}
    Own(std::string name) : vector{std::move(name)} {}
    Own(std::initializer_list<const char*> names) : vector(names.begin(), names.end()) {}
  };
  std::string published;
  Own own;
  bool head = false;        // `published` is absolute
  bool transposed = false;  // a matrix is stored as [in, out]
  // Of several parameters, groups of so many rows take turns (heads of a fused projection); 0: one
  // after the other, whole.
  int turns = 0;
  Shape stored = {};  // the extents in the files, where they are cut otherwise than ours
};

struct WeightRules {
  std::string base_prefix;
  std::vector<WeightRule> rules;
  // Published names that carry nothing to load: buffers, copies of tied weights. May have holes.
  std::vector<std::string> ignorable;
  // Endings that older files use: {"LayerNorm.gamma", "LayerNorm.beta"} style pairs {old, new}.
  std::vector<std::pair<std::string, std::string>> legacy_endings;
  bool bare = false;  // this class is published without the prefix
};

// A tensor of the files, and the parameters that it holds.
struct Published {
  std::string name;
  std::vector<std::string> own;
  const WeightRule* rule = nullptr;
  // What it takes to read one parameter: nothing where this is false.
  bool rearranged() const { return own.size() > 1 || rule->transposed; }
};

// By a name found in the files, or by one of our own; nothing where no rule knows it. `with_prefix`
// says whether base-model names carry the prefix.
std::optional<Published> find_published(const WeightRules& rules, std::string_view published);
std::optional<Published> published_of(const WeightRules& rules, std::string_view own,
                                      bool with_prefix);
bool is_ignorable(const WeightRules& rules, std::string_view published);

}  // namespace stemma
