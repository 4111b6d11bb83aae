#include "model/weight_rules.h"

#include <array>
#include <utility>

namespace stemma {
namespace {

constexpr std::string_view kDigits = "0123456789";
constexpr size_t kHole = 3;  // the length of "{L}"

// The numbers that the holes of a pattern stand for, by their letters.
using Holes = std::array<std::string_view, 26>;

// Whether `name` is `pattern` with numbers in its holes, which go to `holes`.
bool match(std::string_view pattern, std::string_view name, Holes& holes) {
  for (size_t hole; (hole = pattern.find('{')) != std::string_view::npos;) {
    if (!name.starts_with(pattern.substr(0, hole))) return false;
    name.remove_prefix(hole);
    const size_t digits = std::min(name.find_first_not_of(kDigits), name.size());
    if (digits == 0) return false;
    holes[static_cast<size_t>(pattern[hole + 1] - 'A')] = name.substr(0, digits);
    name.remove_prefix(digits);
    pattern.remove_prefix(hole + kHole);
  }
  return pattern == name;
}

std::string fill(std::string pattern, const Holes& holes) {
  for (size_t hole; (hole = pattern.find('{')) != std::string::npos;)
    pattern.replace(hole, kHole, holes[static_cast<size_t>(pattern[hole + 1] - 'A')]);
  return pattern;
}

std::vector<std::string> fill_all(const std::vector<std::string>& patterns, const Holes& holes) {
  std::vector<std::string> names;
  for (const std::string& pattern : patterns) names.push_back(fill(pattern, holes));
  return names;
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

std::optional<Published> find_published(const WeightRules& rules, std::string_view published) {
  const std::string name = modern(rules, published);
  Holes holes;
  for (const WeightRule& rule : rules.rules)
    if (match(rule.published, rule.head ? name : without_prefix(rules, name), holes))
      return Published{std::string(published), fill_all(rule.own, holes), &rule};
  return std::nullopt;
}

std::optional<Published> published_of(const WeightRules& rules, std::string_view own,
                                      bool with_prefix) {
  Holes holes;
  for (const WeightRule& rule : rules.rules)
    for (const std::string& pattern : rule.own)
      if (match(pattern, own, holes)) {
        const std::string name = fill(rule.published, holes);
        return Published{rule.head || !with_prefix ? name : rules.base_prefix + name,
                         fill_all(rule.own, holes), &rule};
      }
  return std::nullopt;
}

bool is_ignorable(const WeightRules& rules, std::string_view published) {
  Holes holes;
  for (const std::string& pattern : rules.ignorable)
    if (match(pattern, published, holes) || match(pattern, without_prefix(rules, published), holes))
      return true;
  return false;
}

}  // namespace stemma
