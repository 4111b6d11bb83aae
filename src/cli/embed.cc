// stemma embed MODEL [FILES]: one vector a line of text.
#include "run/embed.h"

#include <charconv>
#include <cstdio>
#include <span>

#include "cli/dtype_option.h"
#include "cli/progress.h"
#include "cli/verb.h"
#include "hub/cache.h"

namespace stemma::cli {
namespace {

// A line: the numbers in their shortest exact form with blanks between, or {"embedding": [...]}.
std::string row_text(std::span<const float> row, bool json) {
  std::string line = json ? "{\"embedding\": [" : "";
  char number[32];
  for (size_t i = 0; i < row.size(); ++i) {
    if (i > 0) line += json ? ", " : " ";
    line.append(number, std::to_chars(number, number + sizeof number, row[i]).ptr);
  }
  return line += json ? "]}\n" : "\n";
}

struct Embed {
  std::string model, adapter;
  std::vector<std::string> files;
  DtypeOption dtype;

  void declare(Options& o) {
    o.add("model", model,
          "An embedding model (sentence-transformers or plain encoder): directory or name", true);
    o.add("files", files, "Files of texts, one a line (default: standard input)");
    o.add("--adapter", adapter, "A directory of pip's peft: a LoRA adapter to add to the model");
    dtype.declare(o);
    o.footer("Example: echo 'a small house' | stemma embed all-MiniLM-L6-v2 --json");
  }

  int run(Session& session) {
    Ctx c = session.engine.ctx();
    const Embedder embedder = Embedder::load(c, resolve_model(model),
                                             {.adapter = adapter, .format = dtype.format("embed")});
    dtype.tell(session, embedder.checkpoint());
    const std::vector<std::string> texts = read_lines(files);
    std::vector<float> vectors;
    {
      Progress progress("embed", "texts", texts.size());
      vectors = embedder.embed(c, texts, [&](size_t done) { progress.update(done); });
    }
    const auto width = static_cast<size_t>(embedder.width());
    // Numbers as text take longer than one might think: rows are written by all threads.
    std::vector<std::string> lines(texts.size());
    c.team->run_range(static_cast<int64_t>(lines.size()), 16, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
        lines[i] = row_text({vectors.data() + i * width, width}, session.json);
    });
    for (const std::string& line : lines) std::fwrite(line.data(), 1, line.size(), stdout);
    return 0;
  }
};

const RegisterVerb<Embed> verb("Run a model", "embed", "Vectors of texts, one a line");

}  // namespace
}  // namespace stemma::cli
