// stemma params CONFIG: how many parameters a model has, from its configuration alone.
#include <array>

#include "cli/bytes.h"
#include "cli/verb.h"
#include "hub/cache.h"
#include "model/checkpoint.h"

namespace stemma::cli {
namespace {

struct Params {
  std::string model;

  void declare(Options& o) {
    o.add("model", model, "A config.json, or a model (directory or name)", true);
    o.footer("Counts each parameter once: tied matrices and shared blocks too. Reads no weights.");
  }

  int run(Session& session) {
    std::filesystem::path path = resolve_model(model);
    if (std::filesystem::is_directory(path)) path /= "config.json";
    const Checkpoint checkpoint = empty_checkpoint(Json::parse_file(path, {.infinities = true}));
    const ParamStore& params = checkpoint.model->params();
    constexpr std::array kParts = {"embed", "encoder", "decoder", "heads"};
    Json out = Json::object({{"model_type", checkpoint.config.get("model_type", "")},
                             {"parameters", params.elements()}});
    session.print(cat(model, ": ", checkpoint.config.get("model_type", ""), ", ",
                      grouped(params.elements()), " parameters"));
    for (const char* part : kParts) {
      int64_t count = 0;
      for (const Parameter& p : params.all())
        if (p.role != Role::buffer && p.name.starts_with(cat(part, ".")))
          count += p.shape.elements();
      if (count == 0) continue;
      out.set(part, count);
      session.print(
          cat("  ", part, std::string(9 - std::string_view(part).size(), ' '), grouped(count)));
    }
    if (const auto& modules = checkpoint.model->spec().multi_token) {
      // Files repeat the embedding and the head for each module.
      int64_t own = 0, copied = 0;
      for (const Parameter& p : params.all()) {
        if (p.role != Role::buffer && p.name.starts_with(kMultiToken)) own += p.shape.elements();
        if (p.name == "embed.tokens" || p.name == "heads.lm.decoder.weight")
          copied += p.shape.elements() * std::ssize(modules->modules);
      }
      out.set("multi_token", own), out.set("multi_token_copies", copied);
      session.print(cat("  of the heads, modules for further tokens: ", grouped(own),
                        "; files add ", grouped(copied), " of copies"));
    }
    if (session.json) session.emit(out);
    return 0;
  }
};

const RegisterVerb<Params> verb("Check a model", "params",
                                "How many parameters a configuration asks for");

}  // namespace
}  // namespace stemma::cli
