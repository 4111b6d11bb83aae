#include "data/readers.h"

#include <glob.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSeparator = "<|endoftext|>";
constexpr std::string_view kSpace = " \t\r\n";

using Sink = std::function<void(Document&&)>;

std::vector<fs::path> files_below(const fs::path& directory) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::recursive_directory_iterator entry(directory, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (entry->path().filename().string().starts_with('.')) {
      entry.disable_recursion_pending();
      continue;
    }
    const std::string extension = entry->path().extension();
    std::error_code ignored;
    if ((extension == ".txt" || extension == ".md" || extension == ".jsonl") &&
        entry->is_regular_file(ignored))
      files.push_back(entry->path());
  }
  check(!error, "[data] cannot list ", directory.string(), ": ", error.message());
  if (files.empty())
    fail(Code::kNotFound, "[data] there is no .txt, .md or .jsonl file below ", directory.string());
  return files;
}

std::vector<fs::path> files_matching(const std::string& pattern) {
  glob_t found{};
  const int status = ::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found);
  std::vector<fs::path> files;
  for (size_t i = 0; i < found.gl_pathc; ++i) {
    std::error_code ignored;
    if (!fs::is_directory(found.gl_pathv[i], ignored)) files.emplace_back(found.gl_pathv[i]);
  }
  ::globfree(&found);
  check(status == 0 || status == GLOB_NOMATCH, "[data] cannot expand the pattern ", pattern);
  if (files.empty()) fail(Code::kNotFound, "[data] no file matches ", pattern);
  return files;
}

void check_readable(const fs::path& path) {
  const std::string extension = path.extension();
  for (const char* other : {".gz", ".zst", ".xz", ".bz2", ".zip", ".parquet", ".arrow", ".bin"})
    if (extension == other)
      fail(Code::kUnsupported, "[data] ", path.string(),
           ": only text and .jsonl files are read; unpack or convert it first");
}

void read_text(const fs::path& path, int32_t file, const Sink& sink) {
  const MappedFile map(path);
  const std::span<const uint8_t> bytes = map.bytes();
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (int64_t index = 0; !rest.empty(); ++index) {
    const size_t mark = rest.find(kSeparator);
    std::string_view text = rest.substr(0, mark);
    rest.remove_prefix(mark == rest.npos ? rest.size() : mark + kSeparator.size());
    const auto is_line_end = [](char c) { return c == '\n' || c == '\r'; };
    if (index > 0)
      while (!text.empty() && is_line_end(text.front())) text.remove_prefix(1);
    if (mark != rest.npos)
      while (!text.empty() && is_line_end(text.back())) text.remove_suffix(1);
    if (text.find_first_not_of(kSpace) != text.npos) sink({{file, index}, std::string(text)});
  }
}

// Calls visit(record, where, index) for each line that has something on it.
template <class F>
void each_record(const fs::path& path, F&& visit) {
  const MappedFile map(path);
  const std::span<const uint8_t> bytes = map.bytes();
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (int64_t index = 0; !rest.empty(); ++index) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
    if (line.find_first_not_of(kSpace) == line.npos) continue;
    const std::string where = cat(path.string(), " line ", index + 1);
    visit(Json::parse(line, where), where, index);
  }
}

const std::string& text_of(const Json& record, const char* key, const std::string& where) {
  const Json* text = record.find(key);
  check(text && text->is_string(), "[", where, "] expected an object with a string under \"", key,
        "\"");
  return text->as_string();
}

void read_jsonl(const fs::path& path, int32_t file, const Sink& sink) {
  each_record(path, [&](const Json& record, const std::string& where, int64_t index) {
    const std::string& text = text_of(record, "text", where);
    if (text.find_first_not_of(kSpace) != std::string::npos) sink({{file, index}, text});
  });
}

}  // namespace

std::vector<fs::path> find_data_files(std::span<const std::string> paths) {
  std::vector<fs::path> files;
  std::set<fs::path> seen;
  for (const std::string& path : paths) {
    std::vector<fs::path> found;
    std::error_code ignored;
    if (fs::is_directory(path, ignored))
      found = files_below(path);
    else if (fs::exists(path, ignored))
      found = {path};
    else
      found = files_matching(path);
    std::ranges::sort(found);
    for (fs::path& file : found) {
      check_readable(file);
      if (seen.insert(file.lexically_normal()).second) files.push_back(std::move(file));
    }
  }
  return files;
}

void read_documents(std::span<const fs::path> files, const Sink& sink) {
  for (size_t i = 0; i < files.size(); ++i) {
    const auto file = static_cast<int32_t>(i);
    if (files[i].extension() == ".jsonl")
      read_jsonl(files[i], file, sink);
    else
      read_text(files[i], file, sink);
  }
}

void read_pairs(std::span<const fs::path> files, const std::function<void(Pair&&)>& sink) {
  for (size_t i = 0; i < files.size(); ++i) {
    if (files[i].extension() != ".jsonl")
      fail(Code::kUnsupported, "[data] ", files[i].string(),
           ": pairs of source and target are read from .jsonl files");
    each_record(files[i], [&](const Json& record, const std::string& where, int64_t index) {
      Pair pair{{static_cast<int32_t>(i), index},
                text_of(record, "source", where),
                text_of(record, "target", where)};
      for (const std::string* text : {&pair.source, &pair.target})
        check(text->find_first_not_of(kSpace) != std::string::npos, "[", where,
              "] a pair without a source or a target");
      sink(std::move(pair));
    });
  }
}

}  // namespace stemma
