// stemma inspect MODEL: what a model directory holds: its spec and its parameters; or what one
// forward pass does, step by step.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "cli/bytes.h"
#include "cli/spec_text.h"
#include "cli/verb.h"
#include "eval/dataflow.h"
#include "hub/cache.h"
#include "model/checkpoint.h"
#include "model/fields.h"

namespace stemma::cli {
namespace {

struct Inspect {
  std::string model;
  bool tensors = false, flow = false, decode = false, all = false;
  std::optional<int> tokens;

  void declare(Options& o) {
    o.add("model", model, "A model (directory or name), or a config.json", true);
    o.add("--tensors", tensors, "List every parameter with its published name and shape");
    o.add("--dataflow", flow, "Instead: one forward pass, step by step: kernels, shapes, bytes");
    o.add("--tokens", tokens,
          "For --dataflow: the length of the sequence (default: 128, or what fits)");
    o.add("--decode", decode, "For --dataflow: the token after them");
    o.add("--all", all, "For --dataflow: identical blocks each by itself");
  }

  int run(Session& session) {
    Ctx c = session.engine.ctx();
    const std::filesystem::path path = resolve_model(model);
    const bool weights = std::filesystem::is_directory(path);
    const Checkpoint checkpoint =
        weights ? load_checkpoint(c, path) : empty_checkpoint(Json::parse_file(path));
    if (flow) return print_dataflow(session, c, checkpoint, weights);
    const ModelSpec& spec = checkpoint.model->spec();
    const ParamStore& params = checkpoint.model->params();

    if (session.json) {
      Json out = Json::object({{"model_type", checkpoint.config.get("model_type", "")},
                               {"parameters", params.elements()},
                               {"spec", to_json(spec)}});
      if (tensors) {
        Json list = Json::array();
        for (const Parameter& p : params.all())
          list.push_back(Json::object({{"name", checkpoint.published(p)},
                                       {"own", p.name},
                                       {"shape", p.shape.to_string()}}));
        out.set("tensors", list);
      }
      session.emit(out);
      return 0;
    }
    session.print(cat(model, ": ", checkpoint.config.get("model_type", ""), ", ",
                      grouped(params.elements()), " parameters"));
    std::string text = spec_text(spec);
    if (tensors) {
      text += "tensors\n";
      for (const Parameter& p : params.all())
        text += "  " + checkpoint.published(p) + "  " + p.shape.to_string() + "\n";
    }
    text.pop_back();
    session.print(text);
    return 0;
  }

  int print_dataflow(Session& session, Ctx& c, const Checkpoint& checkpoint, bool weights) const {
    if (!weights) checkpoint.model->params().make_flat(c, 0, false);  // values do not matter
    // The token that --decode adds wants a position too.
    const int fit = std::min(128, checkpoint.model->spec().max_positions - 1);
    const std::vector<Step> steps = dataflow(c, *checkpoint.model, tokens.value_or(fit), decode);
    for (const Step& step : steps)
      if (session.json)
        session.emit(Json::object({{"block", step.block},
                                   {"part", step.part},
                                   {"op", step.op},
                                   {"kernel", step.kernel},
                                   {"inputs", operands(step.inputs)},
                                   {"outputs", operands(step.outputs)},
                                   {"bytes", step.bytes},
                                   {"seconds", step.seconds}}));
    int64_t bytes = 0;
    double seconds = 0;
    for (const Section& section : fold(steps, !all)) {
      session.print(cat(section.name(), ": ", byte_count(static_cast<uint64_t>(section.bytes)),
                        ", ", milliseconds(section.seconds), " ms"));
      for (const Step& step : section.steps) {
        char left[64], right[64];
        std::snprintf(left, sizeof left, "  %-5s %-16s %-10s ", step.part.c_str(), step.op.c_str(),
                      step.kernel.c_str());
        std::snprintf(right, sizeof right, "%9s  %8s ms  ",
                      byte_count(static_cast<uint64_t>(step.bytes)).c_str(),
                      milliseconds(step.seconds).c_str());
        session.print(cat(left, right, words(step.inputs), " -> ", words(step.outputs)));
      }
      bytes += section.bytes;
      seconds += section.seconds;
    }
    session.print(cat("all: ", steps.size(), " steps, ", byte_count(static_cast<uint64_t>(bytes)),
                      ", ", milliseconds(seconds), " ms"));
    return 0;
  }

  static std::string milliseconds(double seconds) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3f", seconds * 1e3);
    return text;
  }

  static std::string words(const std::vector<Operand>& list) {
    std::string text;
    for (const Operand& o : list)
      text += cat(text.empty() ? "" : ", ", o.type, o.shape.to_string());
    return text;
  }

  static Json operands(const std::vector<Operand>& list) {
    Json out = Json::array();
    for (const Operand& o : list)
      out.push_back(Json::object({{"dtype", o.type}, {"shape", o.shape.to_string()}}));
    return out;
  }
};

const RegisterVerb<Inspect> verb("Check a model", "inspect",
                                 "The parts, sizes and tensors of a model");

}  // namespace
}  // namespace stemma::cli
