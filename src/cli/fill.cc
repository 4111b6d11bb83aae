// stemma fill MODEL TEXT: what could stand where the text says [MASK].
#include <algorithm>
#include <cstdio>

#include "cli/dtype_option.h"
#include "cli/verb.h"
#include "hub/cache.h"
#include "model/checkpoint.h"
#include "run/score.h"

namespace stemma::cli {
namespace {

struct Fill {
  std::string model, text;
  int top = 5;
  DtypeOption dtype;

  void declare(Options& o) {
    o.add("model", model, "A masked language model: directory or name", true);
    o.add("text", text, "A text with the model's mask token in it (default: standard input)");
    o.add("--top", top, "Candidates for each mask");
    dtype.declare(o);
    o.footer("Example: stemma fill bert-base-uncased 'Paris is the [MASK] of France.'");
  }

  int run(Session& session) {
    if (top < 1) fail(Code::kUsage, "[fill] --top must be at least 1");
    Ctx c = session.engine.ctx();
    const std::filesystem::path directory = resolve_model(model);
    const Checkpoint checkpoint = load_checkpoint(c, directory, {.format = dtype.format("fill")});
    dtype.tell(session, checkpoint);
    const Tokenizer tokenizer = Tokenizer::load(directory);
    const auto mask = tokenizer.special().mask;
    check(mask.has_value(), "[fill] the tokenizer of ", model, " has no mask token");
    const std::vector<std::string> texts =
        text.empty() ? read_lines({}) : std::vector<std::string>{text};
    std::vector<Encoding> encoded;
    for (const std::string& one : texts) {
      encoded.push_back(tokenizer.encode(one));
      const Ints& ids = encoded.back().ids;
      check(std::find(ids.begin(), ids.end(), *mask) != ids.end(), "[fill] the text has no ",
            tokenizer.token(*mask), ": \"", one, "\"");
    }
    for (const Candidates& masks : fill(c, *checkpoint.model, encoded, *mask, top)) {
      for (const auto& candidates : masks) {
        for (const Candidate& candidate : candidates) {
          const std::string& token = tokenizer.token(candidate.id);
          if (session.json) {
            session.emit(Json::object({{"token", token}, {"probability", candidate.probability}}));
          } else {
            char number[32];
            std::snprintf(number, sizeof number, "%8.5f  ", candidate.probability);
            session.print(number + token);
          }
        }
        if (masks.size() > 1) session.print("");
      }
    }
    return 0;
  }
};

const RegisterVerb<Fill> verb("Run a model", "fill", "Candidates for a masked word");

}  // namespace
}  // namespace stemma::cli
