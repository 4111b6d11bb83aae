// stemma bench WORK [SPEC]: what share of the machine's own rates the kernels and models reach.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>

#include "bench/items.h"
#include "cli/progress.h"
#include "cli/verb.h"
#include "hub/cache.h"

namespace stemma::cli {
namespace {

using bench::Item;
using bench::Row;

// The parts of a list with commas; none where it is empty.
std::vector<std::string> parts(const std::string& list) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin < list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    out.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

bench::ModelSource source_of(const std::string& name) {
  if (auto config = bench::published_shape(name)) return {name, *config};
  namespace fs = std::filesystem;
  try {
    const fs::path path = resolve_model(name, Need::any_file);
    const std::string title = path.stem().string();
    if (!fs::is_directory(path)) return {title, Json::parse_file(path, {.infinities = true})};
    return {title, Json::parse_file(path / "config.json", {.infinities = true}), path};
  } catch (const Error& e) {
    if (e.code() != Code::kNotFound) throw;
    fail(Code::kNotFound, e.message(), "; built in are ", bench::published_shape_names());
  }
}

struct Bench {
  std::string work, spec, levels, filter, shapes, texts;
  double seconds = 1.5;
  bool full = false, scaling = false, config = false, on_input = false;

  void declare(Options& o) {
    o.add("work", work, "machine, gemm, attention, ops or model", true);
    o.add("spec", spec, "For model: a directory, a name, a config.json or a built-in shape");
    o.add("--seconds", seconds, "Seconds of work a row, besides the probes");
    o.add("--isa", levels, "CPU levels with commas between them, or all (default: the best)");
    o.add("--filter", filter, "Only rows whose 'work shape dtype' contains this");
    o.add("--shapes", shapes, "For gemm: MxKxN, several with commas between them");
    o.add("--full", full, "For gemm and attention: every shape, not a selection");
    o.add("--scaling", scaling, "On 1, 2, 4, ... threads, not on all of them alone");
    o.add("--texts", texts, "For model: a file of sentences, one a line, to embed");
    o.add("--on-input", on_input,
          "Of the one row chosen, a turn for each line of standard input, each a row");
    o.add("--config", config, "For model: print its config.json and measure nothing");
    o.footer(
        "Work and probes of the machine take turns. A ceiling is min(compute, bytes / bandwidth) "
        "of\n"
        "the probes; share is value over ceiling, spread the distance of the share's quartiles "
        "over\n"
        "its median. Examples:\n"
        "  stemma bench machine\n"
        "  stemma bench gemm --shapes 512x768x3072 --isa all --threads 1\n"
        "  stemma bench model bert-base --filter encode --json");
  }

  std::vector<Item> items() const {
    if (work == "machine") return bench::machine_items();
    if (work == "gemm")
      return bench::gemm_items(shapes.empty() ? bench::gemm_shapes(full)
                                              : bench::parse_shapes(shapes));
    if (work == "attention") return bench::attention_items(full);
    if (work == "ops") return bench::op_items();
    if (work == "model") {
      bench::ModelSource source = source_of(spec);
      if (!texts.empty()) source.texts = read_lines({texts});
      return bench::model_items(source);
    }
    fail(Code::kUsage, "[bench] cannot measure '", work,
         "'; it may be machine, gemm, attention, ops or model");
  }

  std::vector<Isa> chosen_levels() const {
    if (levels.empty()) return {isa()};
    if (levels == "all") return available_dot_isas();
    std::vector<Isa> out;
    for (const std::string& name : parts(levels)) {
      const auto& known = available_dot_isas();
      const auto found =
          std::find_if(known.begin(), known.end(), [&](Isa i) { return isa_name(i) == name; });
      if (found == known.end()) {
        std::string names;
        for (const Isa level : known) names += cat(names.empty() ? "" : ", ", isa_name(level));
        fail(Code::kUsage, "[bench] level '", name, "' is not available here; there are ", names);
      }
      out.push_back(*found);
    }
    return out;
  }

  std::vector<int> thread_counts(int most) const {
    std::vector<int> counts;
    for (int n = 1; (scaling || work == "machine") && n < most; n *= 2) counts.push_back(n);
    counts.push_back(most);
    return counts;
  }

  int run(Session& session) {
    if (work == "model" && spec.empty())
      fail(Code::kUsage,
           "[bench] model wants a SPEC: a directory, a name, a config.json, or one of ",
           bench::published_shape_names());
    if (config) {
      session.emit(source_of(spec).config);
      return 0;
    }
    const std::vector<Isa> at = chosen_levels();
    const std::vector<int> counts = thread_counts(session.engine.team().size());
    size_t total = 0;
    for (const Isa level : at) {
      const ScopedIsa scope(level);
      total += counts.size() * selected().size();
    }
    if (on_input) {
      if (total != 1)
        fail(Code::kUsage, "[bench] --on-input wants one row, there are ", total,
             "; choose with --filter, --shapes, --isa and --threads");
      return answer_lines(session, at.front());
    }
    print_head(session);
    Progress progress("bench", "rows", total);
    size_t done = 0;
    for (const Isa level : at) {
      const ScopedIsa scope(level);
      for (const int threads : counts) {
        Engine engine(threads);
        Ctx c = engine.ctx();
        for (const Item& item : selected()) {
          progress.update(done++);
          print_row(session, bench::measure(c, item, seconds));
        }
      }
    }
    return 0;
  }

  // For programs that take turns with this one: each line asks for one turn.
  int answer_lines(Session& session, Isa level) const {
    const ScopedIsa scope(level);
    Ctx c = session.engine.ctx();
    const Item item = selected().front();
    if (!item.not_run.empty()) {
      print_row(session, bench::empty_row(c, item));
      return 0;
    }
    bench::Measurement measurement(c, item);
    session.notice("ready");
    for (std::string line; std::getline(std::cin, line);) {
      measurement.turn(seconds);
      print_row(session, measurement.last());
    }
    return 0;
  }

  // The items of the current level that the filter leaves.
  std::vector<Item> selected() const {
    std::vector<Item> all = items();
    std::erase_if(all, [&](const Item& i) {
      return cat(i.work, " ", i.shape, " ", i.dtype).find(filter) == std::string::npos;
    });
    return all;
  }

  static void print_head(Session& session) {
    session.print(
        "work                        shape                     dtype  level    threads      value "
        "unit       ceiling  share  spread");
  }

  static void print_row(Session& session, const Row& row) {
    if (session.json) {
      Json out = Json::object({{"work", row.work},
                               {"shape", row.shape},
                               {"dtype", row.dtype},
                               {"level", row.level},
                               {"threads", row.threads}});
      const bool ran = row.not_run.empty();
      out.set("value", ran ? Json(row.value) : Json());
      out.set("unit", row.unit);
      out.set("ceiling", ran ? Json(row.ceiling) : Json());
      out.set("share", ran ? Json(row.share) : Json());
      out.set("spread", ran ? Json(row.spread) : Json());
      out.set("turns", row.turns);
      out.set("memory", row.memory);
      if (!ran) out.set("not_run", row.not_run);
      return session.emit(out);
    }
    char text[200];
    std::snprintf(text, sizeof text, "%-27s %-25s %-6s %-12s %3d ", row.work.c_str(),
                  row.shape.c_str(), row.dtype.c_str(), row.level.c_str(), row.threads);
    std::string line = text;
    if (row.not_run.empty())
      std::snprintf(text, sizeof text, "%10.1f %-8s %9.1f  %5.2f  %6.2f", row.value,
                    row.unit.c_str(), row.ceiling, row.share, row.spread);
    else
      std::snprintf(text, sizeof text, "not run: %s", row.not_run.c_str());
    session.print(line + text);
  }
};

const RegisterVerb<Bench> verb("Check a model", "bench",
                               "What share of the machine's own rates kernels and models reach");

}  // namespace
}  // namespace stemma::cli
