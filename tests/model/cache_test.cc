#include "model/cache.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "support/temp_dir.h"

namespace stemma {
namespace {

TEST(Cache, HuggingFacesComesBeforeOurOwn) {
  const TempDir dir;
  setenv("HF_HUB_CACHE", (dir / "hub").c_str(), 1);
  setenv("STEMMA_CACHE", (dir / "own").c_str(), 1);
  EXPECT_FALSE(find_cached_model("org", "name"));

  const auto own = dir / "own" / "models" / "name";
  std::filesystem::create_directories(own);
  EXPECT_FALSE(find_cached_model("org", "name")) << "an empty directory is no model";
  write_file(own / "config.json", "{}");
  EXPECT_EQ(find_cached_model("org", "name"), own);

  const auto snapshot = dir / "hub" / "models--org--name" / "snapshots" / "abc";
  std::filesystem::create_directories(snapshot);
  EXPECT_EQ(find_cached_model("org", "name"), own);
  write_file(snapshot / "config.json", "{}");
  EXPECT_EQ(find_cached_model("org", "name"), snapshot);
  EXPECT_FALSE(find_cached_model("org", "other"));
  unsetenv("HF_HUB_CACHE");
  unsetenv("STEMMA_CACHE");
}

}  // namespace
}  // namespace stemma
