// stemma search FILES... --query TEXT: the passages nearest in meaning.
#include "retrieve/search.h"

#include <cstdio>

#include "cli/dtype_option.h"
#include "cli/progress.h"
#include "cli/verb.h"
#include "hub/cache.h"

namespace stemma::cli {
namespace {

struct Search {
  std::vector<std::string> files;
  std::string query, model = "all-MiniLM-L6-v2";
  int top = 5;
  DtypeOption dtype;

  void declare(Options& o) {
    o.add("files", files, "Files or directories to search", true);
    o.add("--query,-q", query, "What to look for, in plain words", true);
    o.add("--model,-m", model,
          "An embedding model: a directory or a name (default: all-MiniLM-L6-v2)");
    o.add("--top", top, "How many passages");
    dtype.declare(o);
    o.footer("Example: stemma search docs README.md --query 'how do I add an op?'");
  }

  int run(Session& session) {
    if (top < 1) fail(Code::kUsage, "[search] --top must be at least 1");
    Ctx c = session.engine.ctx();
    const std::filesystem::path directory = resolve_model(model);
    const std::vector<Passage> passages = read_passages(files);
    check(!passages.empty(), "[search] the files hold no text");
    const Embedder embedder = Embedder::load(c, directory, {.format = dtype.format("search")});
    dtype.tell(session, embedder.checkpoint());
    std::vector<Hit> hits;
    {
      Progress progress("search", "passages", passages.size() + 1);
      hits = search(c, embedder, passages, query, static_cast<size_t>(top),
                    [&](size_t done) { progress.update(done); });
    }
    for (const Hit& hit : hits) {
      const Passage& p = passages[hit.passage];
      if (session.json) {
        session.emit(Json::object(
            {{"file", p.file}, {"line", p.line}, {"score", hit.score}, {"text", p.text}}));
        continue;
      }
      char score[16];
      std::snprintf(score, sizeof score, "%.3f", hit.score);
      session.print(cat(score, "  ", p.file, ":", p.line));
      session.print("       " + indented(p.text) + "\n");
    }
    return 0;
  }

  // At most a few lines, set off from the left.
  static std::string indented(const std::string& text) {
    constexpr size_t kMost = 400;
    std::string out;
    for (char ch : text.substr(0, kMost)) {
      out += ch;
      if (ch == '\n') out += "       ";
    }
    return text.size() > kMost ? out + " ..." : out;
  }
};

const RegisterVerb<Search> verb("Run a model", "search", "Passages nearest in meaning to a query");

}  // namespace
}  // namespace stemma::cli
