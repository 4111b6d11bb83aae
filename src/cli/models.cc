// stemma models: the models on this machine.
#include <algorithm>

#include "cli/bytes.h"
#include "cli/verb.h"
#include "hub/cache.h"

namespace stemma::cli {
namespace {

// The branch or tag, and the commit's first digits.
std::string revision_of(const CachedModel& model) {
  if (model.own) return "-";
  std::string text;
  for (const std::string& ref : model.refs) text += (text.empty() ? "" : ",") + ref;
  return cat(text, text.empty() ? "" : " ", model.commit.substr(0, 7));
}

std::string padded(std::string text, size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

struct Models {
  void declare(Options& o) {
    o.footer(
        "Looks in the Hugging Face cache ($HF_HUB_CACHE, $HF_HOME/hub, ~/.cache/huggingface/hub)\n"
        "and in Stemma's own folder ($STEMMA_CACHE/models, ~/.cache/stemma/models). A size counts\n"
        "every file of a revision; revisions of a model may share files.");
  }

  int run(Session& session) {
    const std::vector<CachedModel> models = cached_models();
    size_t names = 4, revisions = 8;
    for (const CachedModel& m : models) {
      names = std::max(names, m.name.size());
      revisions = std::max(revisions, revision_of(m).size());
    }
    if (models.empty() && !session.json) {
      session.notice(cat("no models in ", hub_cache().string(), " or ", own_cache().string(),
                         "; `stemma pull NAME` fetches one"));
      return 0;
    }
    session.print(cat(padded("NAME", names), "  ", padded("REVISION", revisions), "  SIZE"));
    for (const CachedModel& m : models) {
      if (session.json) {
        session.emit(Json::object({{"name", m.name},
                                   {"commit", m.commit},
                                   {"refs", Json::array({m.refs.begin(), m.refs.end()})},
                                   {"bytes", m.bytes},
                                   {"complete", m.missing.empty()},
                                   {"missing", m.missing},
                                   {"path", m.path.string()}}));
        continue;
      }
      session.print(cat(padded(m.name, names), "  ", padded(revision_of(m), revisions), "  ",
                        byte_count(m.bytes), m.missing.empty() ? "" : "  without ", m.missing));
    }
    return 0;
  }
};

const RegisterVerb<Models> verb("Keep models", "models", "The models on this machine");

}  // namespace
}  // namespace stemma::cli
