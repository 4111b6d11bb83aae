// Models kept on this machine: the Hugging Face cache, read in the layout its own tools write, and
// Stemma's own (~/.cache/stemma/models, or $STEMMA_CACHE/models).
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

namespace stemma {

// The directory of `organisation`/`name` in one of the caches, with a config.json in it: the newest
// snapshot of the Hugging Face cache, else Stemma's own copy. Nothing where neither has it.
std::optional<std::filesystem::path> find_cached_model(std::string_view organisation,
                                                       std::string_view name);

}  // namespace stemma
