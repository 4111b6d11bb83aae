// stemma verify DIR...: a model against reference cases, tensor by tensor.
#include "eval/verify.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "cli/verb.h"
#include "eval/case.h"
#include "eval/trace.h"

namespace stemma::cli {
namespace {

struct Verify {
  std::vector<std::string> folders;
  bool quiet = false, trace = false;

  void declare(Options& o) {
    o.add("folders", folders, "Cases, or folders that hold cases at any depth", true);
    o.add("--quiet,-q", quiet, "Only what fails, and the summary");
    o.add("--trace", trace, "Layer by layer instead: names the first that diverges");
    o.footer(
        "A case is a folder with case.json, a model and reference results (docs/testing.md);\n"
        "tools/reference makes one from your own model. Exit status 0 only if everything holds.");
  }

  int run(Session& session) { return trace ? run_trace(session) : run_cases(session); }

  int run_trace(Session& session) const {
    bool holds = true;
    for (const std::string& folder : folders)
      for (const auto& path : find_cases(folder)) {
        if (!std::filesystem::exists(path / "inputs.safetensors")) continue;  // of text alone
        Ctx c = session.engine.ctx();
        const Trace result = trace_case(c, path);
        holds = holds && result.holds();
        print_trace(session, path.lexically_normal().string(), result);
      }
    return holds ? 0 : static_cast<int>(Code::kFailed);
  }

  void print_trace(Session& session, const std::string& name, const Trace& result) const {
    const char* against = result.against_reference ? "reference" : "definitions";
    session.print(cat(name, ", layer by layer against ",
                      result.against_reference
                          ? "its hidden states"
                          : "the ops' definitions (the case has no hidden states)"));
    for (const TraceRow& row : result.rows) {
      if (session.json) {
        Json out =
            Json::object({{"case", name},
                          {"layer", row.layer},
                          {"against", against},
                          {"error", std::isfinite(row.error) ? Json(row.error) : Json("inf")},
                          {"limit", row.limit},
                          {"ok", row.error <= row.limit},
                          {"first", row.diverges}});
        if (!row.why.empty()) out.set("why", row.why);
        session.emit(out);
      } else if (row.error > row.limit || !quiet) {
        char numbers[64];
        std::snprintf(numbers, sizeof numbers, "%9.2e of %7.1e", row.error, row.limit);
        session.print(cat("  ", row.error <= row.limit ? "ok   " : "FAIL ", numbers, "  ",
                          row.layer,
                          row.diverges ? cat("  <- the first that diverges: ", row.why) : ""));
      }
    }
  }

  int run_cases(Session& session) const {
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
