// Runs the built program as a script would.
#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "support/temp_dir.h"

namespace stemma {

struct Result {
  int status;
  std::string out, err;
  std::vector<Json> objects() const {
    std::vector<Json> all;
    std::istringstream lines(out);
    for (std::string line; std::getline(lines, line);) all.push_back(Json::parse(line));
    return all;
  }
};

// `arguments` are shell words; `input` goes to standard input.
inline Result run(const std::string& arguments, const std::string& input = "") {
  const TempDir dir;
  std::ofstream(dir / "in") << input;
  const std::string command = cat(STEMMA_BINARY, " ", arguments, " <", (dir / "in").string(), " >",
                                  (dir / "out").string(), " 2>", (dir / "err").string());
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(dir / "out"),
          read_file(dir / "err")};
}

}  // namespace stemma
