// stemma pull NAME: downloads a model into the Hugging Face cache.
#include <optional>

#include "cli/bytes.h"
#include "cli/progress.h"
#include "cli/verb.h"
#include "hub/download.h"

namespace stemma::cli {
namespace {

struct Pull {
  std::vector<std::string> names;

  void declare(Options& o) {
    o.add("names", names, "Models: org/name, org/name@revision, hf://org/name", true);
    o.footer(
        "Goes on where an earlier download ended. The cache is the one other tools use:\n"
        "$HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub.\n"
        "HF_TOKEN opens private and gated models, HF_ENDPOINT names another hub.\n"
        "Example: stemma pull sentence-transformers/all-MiniLM-L6-v2");
  }

  int run(Session& session) {
    std::vector<ModelName> models;
    for (const std::string& text : names) {
      const auto name = parse_model_name(text);
      if (!name)
        fail(Code::kUsage, "[pull] \"", text,
             "\" is not a model's name: that would be org/name or org/name@revision");
      models.push_back(*name);
    }
    for (const ModelName& name : models) pull(session, name);
    return 0;
  }

  static void pull(const Session& session, const ModelName& name) {
    std::optional<Progress> bar;
    std::string file;
    PullOptions options;
    options.progress = [&](const std::string& current, uint64_t done, uint64_t total) {
      if (file != current) {
        file = current;
        bar.reset();
        bar.emplace(current, "MB", total / kMegabyte, done / kMegabyte);
      }
      bar->update(done / kMegabyte);
    };
    options.notice = [&](std::string_view text) {
      bar.reset();
      file.clear();
      session.notice(text);
    };
    const Pulled pulled = pull_model(name, options);
    bar.reset();

    uint64_t bytes = 0;
    for (const PulledFile& f : pulled.files) bytes += f.bytes;
    if (session.json) {
      std::vector<Json> files;
      for (const PulledFile& f : pulled.files)
        files.push_back(
            Json::object({{"name", f.name}, {"bytes", f.bytes}, {"fetched", f.fetched}}));
      session.emit(Json::object({{"name", pulled.repo},
                                 {"revision", pulled.revision},
                                 {"commit", pulled.commit},
                                 {"path", pulled.path.string()},
                                 {"bytes", bytes},
                                 {"received", pulled.received},
                                 {"files", Json::array(std::move(files))}}));
      return;
    }
    for (const PulledFile& f : pulled.files)
      if (f.fetched) session.print(cat("  ", f.name, "  ", byte_count(f.bytes)));
    session.print(cat(pulled.repo, "@", pulled.revision, ": ", byte_count(bytes), " in ",
                      pulled.path.string(), pulled.received == 0 ? " (was here)" : ""));
  }

  static constexpr uint64_t kMegabyte = 1000000;
};

const RegisterVerb<Pull> verb("Keep models", "pull", "Download a model by its name");

}  // namespace
}  // namespace stemma::cli
