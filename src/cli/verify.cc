// stemma verify DIR...: a model against reference cases, tensor by tensor.
#include "eval/verify.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cli/verb.h"
#include "eval/case.h"

namespace stemma::cli {
namespace {

struct Verify {
  std::vector<std::string> folders;
  bool quiet = false;

  void declare(Options& o) {
    o.add("folders", folders, "Cases, or folders that hold cases at any depth", true);
    o.add("--quiet,-q", quiet, "Only what fails, and the summary");
    o.footer(
        "A case is a folder with case.json, a model and reference results (docs/testing.md);\n"
        "tools/reference makes one from your own model. Exit status 0 only if everything holds.");
  }

  int run(Session& session) {
    size_t results = 0, failures = 0, cases = 0;
    double worst = 0;  // share of its limit
    for (const std::string& folder : folders) {
      for (const auto& path : find_cases(folder)) {
        const std::string name = path.lexically_normal().string();
        ++cases;
        Ctx c = session.engine.ctx();
        verify_case(c, path, [&](const Verdict& v) {
          ++results;
          failures += !v.ok;
          if (v.limit > 0) worst = std::max(worst, v.error / v.limit);
          if (session.json) {
            Json row =
                Json::object({{"case", name},
                              {"name", v.name},
                              {"error", std::isfinite(v.error) ? Json(v.error) : Json("inf")},
                              {"limit", v.limit},
                              {"ok", v.ok}});
            if (!v.detail.empty()) row.set("detail", v.detail);
            session.emit(row);
          } else if (!v.ok || !quiet) {
            char numbers[64];
            std::snprintf(numbers, sizeof numbers, "%9.2e of %7.1e", v.error, v.limit);
            session.print(cat(v.ok ? "ok   " : "FAIL ", numbers, "  ", name, "  ", v.name,
                              v.detail.empty() ? "" : "  (", v.detail,
                              v.detail.empty() ? "" : ")"));
          }
        });
      }
    }
    char share[48];
    std::snprintf(share, sizeof share, "%.2f", worst);
    session.print(cat(failures ? "FAILED: " : "ok: ", cases, " cases, ", results, " results, ",
                      failures, " outside their limits; the largest error is ", share,
                      " of its limit"));
    return failures ? static_cast<int>(Code::kFailed) : 0;
  }
};

const RegisterVerb<Verify> verb("Check a model", "verify",
                                "A model against reference results, tensor by tensor");

}  // namespace
}  // namespace stemma::cli
