#include "model/weight_rules.h"

namespace stemma {
namespace {

// Matches `name` against a pattern with at most one {L}; the number matched goes to `layer`.
bool match(std::string_view pattern, std::string_view name, std::string& layer) {
  const size_t hole = pattern.find("{L}");
  if (hole == std::string_view::npos) return pattern == name;
  const std::string_view head = pattern.substr(0, hole), tail = pattern.substr(hole + 3);
  if (name.size() <= head.size() + tail.size() || !name.starts_with(head) || !name.ends_with(tail))
    return false;
  const std::string_view number = name.substr(head.size(), name.size() - head.size() - tail.size());
  if (number.find_first_not_of("0123456789") != std::string_view::npos) return false;
  layer = number;
  return true;
}

std::string fill(std::string pattern, const std::string& layer) {
  if (const size_t hole = pattern.find("{L}"); hole != std::string::npos)
    pattern.replace(hole, 3, layer);
  return pattern;
}

std::string modern(const WeightRules& rules, std::string_view published) {
  std::string name(published);
  for (const auto& [old_ending, ending] : rules.legacy_endings)
    if (name.ends_with(old_ending)) {
      name.replace(name.size() - old_ending.size(), old_ending.size(), ending);
      break;
    }
  return name;
}

std::string_view without_prefix(const WeightRules& rules, std::string_view name) {
  return name.starts_with(rules.base_prefix) ? name.substr(rules.base_prefix.size()) : name;
}

}  // namespace

std::optional<std::string> own_name(const WeightRules& rules, std::string_view published) {
  const std::string name = modern(rules, published);
  std::string layer;
  for (const WeightRule& rule : rules.rules)
    if (match(rule.published, rule.head ? name : without_prefix(rules, name), layer))
      return fill(rule.own, layer);
  return std::nullopt;
}

std::optional<std::string> published_name(const WeightRules& rules, std::string_view own,
                                          bool with_prefix) {
  std::string layer;
  for (const WeightRule& rule : rules.rules)
    if (match(rule.own, own, layer)) {
      const std::string name = fill(rule.published, layer);
      return rule.head || !with_prefix ? name : rules.base_prefix + name;
    }
  return std::nullopt;
}

bool is_ignorable(const WeightRules& rules, std::string_view published) {
  std::string layer;
  for (const std::string& pattern : rules.ignorable)
    if (match(pattern, published, layer) || match(pattern, without_prefix(rules, published), layer))
      return true;
  return false;
}

}  // namespace stemma
