// A home of one's own: while it lives, every cache and setting of the hub lies in a temporary
// directory, and nothing of the user's is seen.
#pragma once

#include <cstdlib>
#include <map>
#include <optional>
#include <string>

#include "support/temp_dir.h"

namespace stemma {

class HubHome {
 public:
  HubHome() {
    for (const char* name :
         {"HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME",
          "STEMMA_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "HF_HUB_OFFLINE",
          "TRANSFORMERS_OFFLINE", "HF_HUB_DOWNLOAD_TIMEOUT", "http_proxy", "all_proxy"}) {
      const char* value = std::getenv(name);
      before_[name] = value ? std::optional<std::string>(value) : std::nullopt;
      ::unsetenv(name);
    }
    set("HOME", path().string());
    set("HF_HOME", path().string());
    set("HF_HUB_CACHE", (path() / "hub").string());
    set("STEMMA_CACHE", (path() / "own").string());
  }
  ~HubHome() {
    for (const auto& [name, value] : before_)
      value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
  }
  HubHome(const HubHome&) = delete;
  HubHome& operator=(const HubHome&) = delete;

  const std::filesystem::path& path() const { return dir_.path(); }
  static void set(const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); }

 private:
  TempDir dir_;
  std::map<std::string, std::optional<std::string>> before_;
};

}  // namespace stemma
