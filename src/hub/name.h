// What a user calls a model: "org/name" or "name", with "@revision" behind it or "hf://" before it.
// The rules for names are the Hugging Face hub's own.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace stemma {

struct ModelName {
  std::string repo;      // "org/name" or "name"
  std::string revision;  // branch, tag, commit or refs/pr/1; empty: the main branch

  bool has_organisation() const { return repo.find('/') != std::string::npos; }
  std::string text() const { return revision.empty() ? repo : repo + "@" + revision; }
  bool operator==(const ModelName&) const = default;
};

// Nothing where the text cannot be a model's name.
std::optional<ModelName> parse_model_name(std::string_view text);

// The organisation that a bare name may stand for: sentence-transformers' models are known by
// their names alone.
inline constexpr std::string_view kDefaultOrganisation = "sentence-transformers";

// Whether names from outside may be used as they are: a path that stays inside its folder, and the
// full hash of a commit.
bool is_inner_path(std::string_view path);
bool is_commit(std::string_view text);

}  // namespace stemma
