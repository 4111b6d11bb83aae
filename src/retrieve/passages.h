// Passages: files cut into pieces small enough to embed and large enough to mean something.
// Text is cut at blank lines (and Markdown headings); long paragraphs are cut again at line ends,
// and short neighbours under one heading are joined. Errors: Code::kNotFound for a path that is not
// there.
#pragma once

#include <string>
#include <vector>

namespace stemma {

struct Passage {
  std::string file;
  int line = 0;  // of its first line, from 1
  std::string text;
};

// `paths` are files or directories (walked for text files, in order of name).
std::vector<Passage> read_passages(const std::vector<std::string>& paths);

}  // namespace stemma
