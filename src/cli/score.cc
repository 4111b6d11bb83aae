// stemma score MODEL [FILES]: how probable a causal model finds a text.
#include "run/score.h"

#include <cstdio>

#include "base/file.h"
#include "cli/dtype_option.h"
#include "cli/verb.h"
#include "hub/cache.h"
#include "model/checkpoint.h"

namespace stemma::cli {
namespace {

struct ScoreVerb {
  std::string model, adapter, sources;
  std::vector<std::string> files;
  DtypeOption dtype;

  void declare(Options& o) {
    o.add("model", model, "A causal model: directory or name", true);
    o.add("files", files, "Files, each scored as one text (default: each line of standard input)");
    o.add("--sources", sources,
          "A file with a source a line: the texts are what a model with an encoder makes of them");
    o.add("--adapter", adapter, "A directory of pip's peft: a LoRA adapter to add to the model");
    dtype.declare(o);
    o.footer("Log-probabilities are natural; the first token has none.");
  }

  int run(Session& session) {
    Ctx c = session.engine.ctx();
    const std::filesystem::path directory = resolve_model(model);
    const Checkpoint checkpoint =
        load_checkpoint(c, directory, {.adapter = adapter, .format = dtype.format("score")});
    dtype.tell(session, checkpoint);
    const Tokenizer tokenizer = Tokenizer::load(directory);
    std::vector<std::string> texts;
    if (files.empty()) texts = read_lines({});
    for (const std::string& file : files) texts.push_back(read_file(file));
    std::vector<Ints> ids;
    for (const std::string& text : texts) ids.push_back(tokenizer.encode(text).ids);
    std::vector<Ints> source_ids;
    if (!sources.empty())
      for (const std::string& text : read_lines({sources}))
        source_ids.push_back(tokenizer.encode(text).ids);
    for (const Score& s : score(c, *checkpoint.model, ids, source_ids)) {
      if (session.json) {
        session.emit(
            Json::object({{"ids", Json::array({s.ids.begin(), s.ids.end()})},
                          {"logprobs", Json::array({s.logprobs.begin(), s.logprobs.end()})},
                          {"perplexity", s.perplexity}}));
        continue;
      }
      double total = 0;
      const size_t unscored = s.ids.size() - s.logprobs.size();
      for (size_t i = 0; i < s.ids.size(); ++i) {
        char row[64] = "         -";
        if (i >= unscored) std::snprintf(row, sizeof row, "%10.5f", s.logprobs[i - unscored]);
        if (i >= unscored) total += s.logprobs[i - unscored];
        session.print(cat(row, "  ", tokenizer.token(s.ids[i])));
      }
      char line[96];
      std::snprintf(line, sizeof line, "tokens %zu, log-probability %.5f, perplexity %.5f",
                    s.ids.size(), total, s.perplexity);
      session.print(line);
    }
    return 0;
  }
};

const RegisterVerb<ScoreVerb> verb("Run a model", "score",
                                   "Log-probabilities of each token, and perplexity");

}  // namespace
}  // namespace stemma::cli
