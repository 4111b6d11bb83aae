// stemma embed MODEL [FILES]: one vector a line of text.
#include "run/embed.h"

#include "cli/progress.h"
#include "cli/verb.h"
#include "hub/cache.h"

namespace stemma::cli {
namespace {

struct Embed {
  std::string model;
  std::vector<std::string> files;

  void declare(Options& o) {
    o.add("model", model,
          "An embedding model (sentence-transformers or plain encoder): directory or name", true);
    o.add("files", files, "Files of texts, one a line (default: standard input)");
    o.footer("Example: echo 'a small house' | stemma embed all-MiniLM-L6-v2 --json");
  }

  int run(Session& session) {
    Ctx c = session.engine.ctx();
    const Embedder embedder = Embedder::load(c, resolve_model(model));
    const std::vector<std::string> texts = read_lines(files);
    std::vector<float> vectors;
    {
      Progress progress("embed", "texts", texts.size());
      vectors = embedder.embed(c, texts, [&](size_t done) { progress.update(done); });
    }
    const auto width = static_cast<size_t>(embedder.width());
    for (size_t i = 0; i < texts.size(); ++i) {
      std::vector<Json> row;
      for (size_t k = 0; k < width; ++k) row.emplace_back(vectors[i * width + k]);
      if (session.json) {
        session.emit(Json::object({{"embedding", Json::array(std::move(row))}}));
      } else {
        std::string line;
        for (const Json& v : row) line += (line.empty() ? "" : " ") + v.number_text();
        session.print(line);
      }
    }
    return 0;
  }
};

const RegisterVerb<Embed> verb("Run a model", "embed", "Vectors of texts, one a line");

}  // namespace
}  // namespace stemma::cli
