#include "hub/environment.h"

#include <cstdlib>

namespace stemma {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool switched_on(const char* name) {
  std::string value = variable(name);
  for (char& ch : value)
    if (ch >= 'a' && ch <= 'z') ch = static_cast<char>(ch - 'a' + 'A');
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

std::filesystem::path path_variable(const char* name, const std::filesystem::path& fallback) {
  const std::string value = variable(name);
  if (value.empty()) return fallback;
  if (value != "~" && !value.starts_with("~/")) return value;
  const std::filesystem::path home = variable("HOME");
  return value == "~" ? home : home / value.substr(2);
}

}  // namespace stemma
