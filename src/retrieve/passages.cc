#include "retrieve/passages.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <sstream>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

// In bytes: about 200 words, what sentence embedders were trained on.
constexpr size_t kLongest = 1200, kShort = 200;

bool is_text_file(const fs::path& path) {
  constexpr std::array<std::string_view, 12> kEndings = {
      ".md", ".txt", ".rst", ".h", ".cc", ".cpp", ".py", ".c", ".tex", ".html", ".toml", ".json"};
  const std::string ending = path.extension().string();
  return std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end();
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}
bool is_heading(std::string_view line) {
  return line.starts_with("#") && !line.starts_with("#include");
}

void cut(const std::string& file, const std::string& bytes, std::vector<Passage>& out) {
  Passage current{file, 0, {}};
  auto flush = [&] {
    if (!is_blank(current.text)) out.push_back(current);
    current.text.clear();
  };
  std::istringstream in(bytes);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (is_heading(line) || current.text.size() + line.size() > kLongest) flush();
    if (is_blank(line)) {
      if (current.text.size() >= kShort) flush();
      continue;
    }
    if (current.text.empty()) current.line = number;
    current.text += (current.text.empty() ? "" : "\n") + line;
  }
  flush();
}

}  // namespace

std::vector<Passage> read_passages(const std::vector<std::string>& paths) {
  std::vector<Passage> passages;
  for (const std::string& given : paths) {
    if (!fs::exists(given)) fail(Code::kNotFound, "[search] there is no file or directory ", given);
    std::vector<fs::path> files;
    if (fs::is_directory(given)) {
      for (const auto& entry : fs::recursive_directory_iterator(given))
        if (entry.is_regular_file() && is_text_file(entry.path())) files.push_back(entry.path());
      std::sort(files.begin(), files.end());
    } else {
      files.push_back(given);
    }
    for (const fs::path& file : files) cut(file.string(), read_file(file), passages);
  }
  return passages;
}

}  // namespace stemma
