#include "model/cache.h"

#include <cstdlib>

#include "base/error.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

fs::path from_environment(const char* name, const fs::path& fallback) {
  const char* value = std::getenv(name);
  return value && *value ? fs::path(value) : fallback;
}

}  // namespace

std::optional<fs::path> find_cached_model(std::string_view organisation, std::string_view name) {
  const fs::path home = from_environment("HOME", "/");
  const fs::path cache = from_environment("XDG_CACHE_HOME", home / ".cache");
  const fs::path hub =
      from_environment("HF_HUB_CACHE", from_environment("HF_HOME", cache / "huggingface") / "hub");
  std::optional<fs::path> found;
  std::error_code absent;
  const fs::path snapshots = hub / cat("models--", organisation, "--", name) / "snapshots";
  for (const auto& entry : fs::directory_iterator(snapshots, absent))
    if (fs::exists(entry.path() / "config.json") &&
        (!found || fs::last_write_time(entry.path()) > fs::last_write_time(*found)))
      found = entry.path();
  const fs::path own = from_environment("STEMMA_CACHE", cache / "stemma") / "models" / name;
  if (!found && fs::exists(own / "config.json")) found = own;
  return found;
}

}  // namespace stemma
