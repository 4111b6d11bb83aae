// stemma rm NAME: removes a model from the caches.
#include "cli/bytes.h"
#include "cli/verb.h"
#include "hub/cache.h"

namespace stemma::cli {
namespace {

struct Remove {
  std::vector<std::string> names;

  void declare(Options& o) {
    o.add("names", names, "Models as `stemma models` lists them; name@revision for one revision",
          true);
    o.footer("Asks nothing. Contents that another revision uses stay.");
  }

  int run(Session& session) {
    for (const std::string& text : names) {
      const auto name = parse_model_name(text);
      if (!name)
        fail(Code::kUsage, "[rm] \"", text,
             "\" is not a model's name; directories of your own are yours to remove");
      const Removed removed = remove_model(*name);
      for (const CachedModel& m : removed.models) session.print(cat("removed ", m.path.string()));
      session.print(cat(name->text(), ": freed ", byte_count(removed.bytes)));
      if (session.json) {
        std::vector<Json> paths;
        for (const CachedModel& m : removed.models) paths.emplace_back(m.path.string());
        session.emit(Json::object({{"name", name->text()},
                                   {"freed", removed.bytes},
                                   {"removed", Json::array(std::move(paths))}}));
      }
    }
    return 0;
  }
};

const RegisterVerb<Remove> verb("Keep models", "rm", "Remove a model from the caches");

}  // namespace
}  // namespace stemma::cli
