#include "model/family.h"

#include <algorithm>
#include <map>

namespace stemma {
namespace {

std::vector<Family>& registry() {
  static std::vector<Family> families;
  return families;
}

std::map<std::string_view, ConfigNames>& all_names() {
  static std::map<std::string_view, ConfigNames> names;
  return names;
}

using Customs = Json (*)(int64_t length);
std::map<std::string_view, Customs>& all_customs() {
  static std::map<std::string_view, Customs> customs;
  return customs;
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

RegisterConfigNames::RegisterConfigNames(std::string_view model_type, const ConfigNames& names) {
  all_names()[model_type] = names;
}

RegisterCustoms::RegisterCustoms(std::string_view model_type, Json (*customs)(int64_t length)) {
  all_customs()[model_type] = customs;
}

Json customs_of(std::string_view model_type, int64_t length) {
  const auto customs = all_customs().find(model_type);
  return customs == all_customs().end() ? Json::object() : customs->second(length);
}

std::string own_key(std::string_view model_type, std::string_view usual) {
  const auto names = all_names().find(model_type);
  if (names != all_names().end())
    for (const auto& [own, other] : names->second)
      if (other == usual) return std::string(own);
  return std::string(usual);
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
