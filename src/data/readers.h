// Readers: documents of text out of files.
// A path is a file, a glob pattern (*, ?, [...]) or a directory, which stands for the *.txt, *.md
// and *.jsonl files below it, hidden ones apart. A .jsonl file has one object a line with the
// document under "text"; any other file is text: one document, or several where <|endoftext|>
// stands between them (the line ends around that mark belong to it). Documents without text are
// passed over. Pairs come from .jsonl files alone, with strings under "source" and "target", both
// of which have text. Errors: Code::kNotFound for a path that matches nothing, Code::kUnsupported
// for compressed and columnar files, Code::kFailed for a bad line, naming file and line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace stemma {

// The index is that of the line in a .jsonl file and of the document in a text file, from 0.
struct DocumentId {
  int32_t file;
  int64_t index;
  bool operator==(const DocumentId&) const = default;
};

struct Document {
  DocumentId id;
  std::string text;
};

struct Pair {
  DocumentId id;
  std::string source, target;
};

// The files in the order in which they are read: as listed, sorted by name within a pattern or a
// directory, each file once.
std::vector<std::filesystem::path> find_data_files(std::span<const std::string> paths);

// Hands over every document of the files, in order.
void read_documents(std::span<const std::filesystem::path> files,
                    const std::function<void(Document&&)>& sink);
void read_pairs(std::span<const std::filesystem::path> files,
                const std::function<void(Pair&&)>& sink);

}  // namespace stemma
