// docs/adding-an-op.md is executed: its files are extracted, compiled against the built libraries,
// and the op driver is run on them, as a reader of the page would.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "base/error.h"
#include "support/temp_dir.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

struct Listing {
  std::string path, text;
};

// The code blocks of a page that name a file: ```cpp src/ops/name.cc
std::vector<Listing> listings(const fs::path& page) {
  std::ifstream in(page);
  std::vector<Listing> all;
  bool inside = false;
  for (std::string line; std::getline(in, line);) {
    if (inside && line == "```") {
      inside = false;
    } else if (inside) {
      all.back().text += line + "\n";
    } else if (line.starts_with("```cpp src/")) {
      all.push_back({line.substr(std::string("```cpp src/").size()), ""});
      inside = true;
    }
  }
  return all;
}

int shell(const std::string& command) { return std::system(command.c_str()); }

std::string contents(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(SlowDocs, AddingAnOpDoesWhatThePageSays) {
  const fs::path source = STEMMA_SOURCE_DIR;
  const std::vector<Listing> files = listings(source / "docs" / "adding-an-op.md");
  ASSERT_EQ(files.size(), 3u) << "a header, a definition, and the same with kernels";
  TempDir temp;
  const fs::path root = temp.path();
  fs::create_directories(root / "ops");
  for (const Listing& file : files) {
    std::ofstream(root / file.path) << file.text;
    if (!file.path.ends_with(".cc")) continue;
    const auto begin = std::chrono::steady_clock::now();
    const fs::path program = root / "driver", log = root / "log";
    const std::string compile =
        cat(STEMMA_CXX, " -std=c++20 -O1 -Wall -Wextra -Werror ",
            "-ffp-contract=off -Wno-maybe-uninitialized " STEMMA_DRIVER_DEFINES " -I ",
            root.string(), " -I ", (source / "src").string(), " ", (root / file.path).string(),
            " @" STEMMA_OP_DRIVER_ARGS " -o ", program.string(), " >", log.string(), " 2>&1");
    ASSERT_EQ(shell(compile), 0) << compile << "\n" << contents(log);
    const auto compiled = std::chrono::steady_clock::now();
    const std::string run =
        cat(program.string(), " --gtest_filter='*softcap*:Ops.*' >", log.string(), " 2>&1");
    EXPECT_EQ(shell(run), 0) << contents(log);
    EXPECT_NE(contents(log).find("softcap__elements"), std::string::npos) << contents(log);
    const auto seconds = [](auto from, auto to) {
      return std::chrono::duration<double>(to - from).count();
    };
    std::printf("%s: %.1f s to compile and link, %.1f s in the driver\n", file.path.c_str(),
                seconds(begin, compiled), seconds(compiled, std::chrono::steady_clock::now()));
  }
}

}  // namespace
}  // namespace stemma
