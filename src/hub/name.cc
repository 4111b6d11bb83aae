#include "hub/name.h"

#include <algorithm>

namespace stemma {
namespace {

bool is_name_character(char ch) {
  return (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
         ch == '-' || ch == '_' || ch == '.';
}

bool is_plain_name(std::string_view name) {
  const auto edge = [](char ch) { return ch == '-' || ch == '.'; };
  return !name.empty() && std::ranges::all_of(name, is_name_character) && !edge(name.front()) &&
         !edge(name.back());
}

bool is_repo(std::string_view repo) {
  constexpr size_t kLongest = 96;
  if (repo.size() > kLongest || repo.find("--") != repo.npos || repo.find("..") != repo.npos ||
      repo.ends_with(".git"))
    return false;
  const size_t slash = repo.find('/');
  return slash == repo.npos
             ? is_plain_name(repo)
             : is_plain_name(repo.substr(0, slash)) && is_plain_name(repo.substr(slash + 1));
}

}  // namespace

bool is_inner_path(std::string_view path) {
  constexpr size_t kLongestPath = 1024, kLongestName = 200;
  if (path.empty() || path.size() > kLongestPath) return false;
  const auto unfit = [](char ch) {
    return static_cast<unsigned char>(ch) < 0x20 || ch == 0x7f || ch == '\\' || ch == ':';
  };
  if (std::ranges::any_of(path, unfit)) return false;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view name = path.substr(begin, end - begin);
    if (name.empty() || name == "." || name == ".." || name.size() > kLongestName) return false;
    begin = end + 1;
  }
  return true;
}

bool is_commit(std::string_view text) {
  return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

std::optional<ModelName> parse_model_name(std::string_view text) {
  constexpr std::string_view kScheme = "hf://";
  if (text.starts_with(kScheme)) text.remove_prefix(kScheme.size());
  const size_t at = text.find('@');
  ModelName name{std::string(text.substr(0, at)), {}};
  if (at != text.npos) {
    name.revision = text.substr(at + 1);
    if (!is_inner_path(name.revision) || name.revision.find(' ') != std::string::npos) return {};
  }
  if (!is_repo(name.repo)) return {};
  return name;
}

}  // namespace stemma
