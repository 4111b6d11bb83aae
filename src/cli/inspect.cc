// stemma inspect MODEL: what a model directory holds: its spec, its parameters, its tokenizer.
#include <filesystem>

#include "cli/verb.h"
#include "hub/cache.h"
#include "model/checkpoint.h"
#include "model/fields.h"

namespace stemma::cli {
namespace {

// Numbers in groups of three.
std::string grouped(int64_t n) {
  std::string s = cat(n);
  for (auto at = static_cast<int64_t>(s.size()) - 3; at > 0; at -= 3)
    s.insert(static_cast<size_t>(at), ",");
  return s;
}

// Nested fields a line each: "position.kind  rope".
void lines(const Json& value, const std::string& name, std::string& out) {
  if (value.is_object()) {
    for (const auto& [key, member] : value.members())
      lines(member, name.empty() ? key : name + "." + key, out);
  } else if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) lines(value.at(i), cat(name, ".", i), out);
  } else if (!value.is_null()) {
    out += "  " + name + std::string(name.size() < 36 ? 36 - name.size() : 1, ' ') + "  " +
           (value.is_string() ? value.as_string() : value.dump()) + "\n";
  }
}

// The stack's blocks, runs of equal ones once.
void blocks(const StackSpec& stack, std::string& out) {
  for (size_t i = 0; i < stack.blocks.size();) {
    const Json block = to_json(stack.blocks[i]);
    size_t end = i + 1;
    while (end < stack.blocks.size() && to_json(stack.blocks[end]) == block) ++end;
    out += end - i == 1 ? cat("block ", i, "\n") : cat("blocks ", i, " to ", end - 1, "\n");
    lines(block, "", out);
    i = end;
  }
}

struct Inspect {
  std::string model;
  bool tensors = false;

  void declare(Options& o) {
    o.add("model", model, "A model (directory or name), or a config.json", true);
    o.add("--tensors", tensors, "List every parameter with its published name and shape");
  }

  int run(Session& session) {
    Ctx c = session.engine.ctx();
    const std::filesystem::path path = resolve_model(model);
    const bool weights = std::filesystem::is_directory(path);
    const Checkpoint checkpoint =
        weights ? load_checkpoint(c, path) : empty_checkpoint(Json::parse_file(path));
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
    std::string text;
    text += "embed\n";
    lines(to_json(spec.embed), "", text);
    blocks(spec.stack(), text);
    text += "model\n";
    if (spec.stack().final_norm) lines(to_json(*spec.stack().final_norm), "final_norm", text);
    for (const HeadSpec& head : spec.heads) lines(to_json(head), "head", text);
    lines(to_json(spec.ties), "ties", text);
    lines(Json(spec.max_positions), "max_positions", text);
    if (tensors) {
      text += "tensors\n";
      for (const Parameter& p : params.all())
        text += "  " + checkpoint.published(p) + "  " + p.shape.to_string() + "\n";
    }
    text.pop_back();
    session.print(text);
    return 0;
  }
};

const RegisterVerb<Inspect> verb("Check a model", "inspect",
                                 "The parts, sizes and tensors of a model");

}  // namespace
}  // namespace stemma::cli
