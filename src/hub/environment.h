// Environment variables, read as huggingface_hub reads them. An empty one counts as unset.
#pragma once

#include <filesystem>
#include <string>

namespace stemma {

std::string variable(const char* name);  // "" where unset

// 1, ON, YES or TRUE, in either case.
bool switched_on(const char* name);

// With a leading "~" replaced by the home directory.
std::filesystem::path path_variable(const char* name, const std::filesystem::path& fallback);

}  // namespace stemma
