#include "model/family.h"

#include <algorithm>

namespace stemma {
namespace {

std::vector<Family>& registry() {
  static std::vector<Family> families;
  return families;
}

template <class List>
std::string join(const List& names) {
  std::string s;
  for (const auto& name : names) s += cat(s.empty() ? "" : ", ", name);
  return s;
}

}  // namespace

RegisterFamily::RegisterFamily(Family family) {
  auto& all = registry();
  all.insert(std::upper_bound(
                 all.begin(), all.end(), family,
                 [](const Family& a, const Family& b) { return a.model_type < b.model_type; }),
             std::move(family));
}

const std::vector<Family>& families() { return registry(); }

Resolved resolve(const Json& config) {
  const std::string type = config.get("model_type", "");
  check(!type.empty(), "[config.json] has no model_type");
  for (const Family& family : families()) {
    if (family.model_type != type) continue;
    std::string architecture(family.architectures.front());
    if (const Json* named = config.find("architectures");
        named && named->is_array() && named->size())
      architecture = named->at(size_t{0}).as_string();
    if (std::find(family.architectures.begin(), family.architectures.end(), architecture) ==
        family.architectures.end())
      fail(Code::kUnsupported, "[config.json] architecture ", architecture, " of model_type ", type,
           " is not supported; known are ", join(family.architectures));
    return family.resolve(config, architecture);
  }
  std::vector<std::string_view> known;
  for (const Family& family : families()) known.push_back(family.model_type);
  fail(Code::kUnsupported, "[config.json] model_type \"", type, "\" is not supported; known are ",
       join(known));
}

}  // namespace stemma
