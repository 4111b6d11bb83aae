#include "cli/spec_text.h"

#include "model/fields.h"

namespace stemma::cli {
namespace {

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

// A stack's blocks, runs of equal ones once, and what is around them.
void lines(const StackSpec& stack, const char* name, std::string& out) {
  out += cat(name, "\n");
  for (size_t i = 0; i < stack.blocks.size();) {
    const Json block = to_json(stack.blocks[i]);
    size_t end = i + 1;
    while (end < stack.blocks.size() && to_json(stack.blocks[end]) == block) ++end;
    out += end - i == 1 ? cat("block ", i, "\n") : cat("blocks ", i, " to ", end - 1, "\n");
    lines(block, "", out);
    i = end;
  }
  if (!stack.schedule.empty()) lines(to_json(stack.schedule), "schedule", out);
  if (stack.final_norm) lines(to_json(*stack.final_norm), "final_norm", out);
}

}  // namespace

std::string spec_text(const ModelSpec& spec) {
  std::string text = "embed\n";
  lines(to_json(spec.embed), "", text);
  if (spec.encoder) lines(*spec.encoder, "encoder", text);
  if (spec.decoder) lines(*spec.decoder, "decoder", text);
  text += "model\n";
  for (const HeadSpec& head : spec.heads) lines(to_json(head), "head", text);
  if (const auto& further = spec.multi_token) {
    lines(Json(std::ssize(further->modules)), "multi_token.modules", text);
    lines(Json(further->share), "multi_token.share", text);
  }
  lines(to_json(spec.ties), "ties", text);
  lines(Json(spec.max_positions), "max_positions", text);
  return text;
}

}  // namespace stemma::cli
