// stemma tree: the families, each below the system that it changed, and what it changed;
// stemma tree --diff A B: where the specs of two models part.
#include <algorithm>
#include <filesystem>
#include <iterator>

#include "cli/spec_text.h"
#include "cli/verb.h"
#include "hub/cache.h"
#include "model/family.h"

namespace stemma::cli {
namespace {

// What stands between the root and families whose parents are not families themselves.
struct Ancestor {
  std::string_view name, parent, summary;
};
constexpr Ancestor kAncestors[] = {
    {"transformer", "", "self-attention and feed-forward in residual blocks, encoder and decoder"},
    {"gpt", "transformer", "the decoder alone, predicting the next token"},
    {"transformer-xl", "gpt", "relative positions, and a memory of the segment before"},
    {"deepseek_v2", "llama", "latent attention; many small experts, some of them for every token"},
    {"s4", "", "a linear state in place of attention"},
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::string section;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with(' '))
      section = line;
    else
      lines.push_back(section + ": " + line.substr(2));
  }
  return lines;
}

struct Tree {
  bool diff = false;
  std::vector<std::string> models;

  void declare(Options& o) {
    o.add("--diff", diff, "Where the specs of two models part, instead of the tree");
    o.add("models", models, "For --diff: two of family, config.json, directory or name");
    o.footer("Examples: stemma tree; stemma tree --diff llama qwen3");
  }

  int run(Session& session) {
    if (diff) return print_diff(session);
    if (!models.empty()) fail(Code::kUsage, "[tree] two models are compared with --diff");
    if (session.json) {
      for (const Ancestor& a : kAncestors) emit(session, a.name, a.parent, a.summary, {});
      for (const Family& f : families())
        emit(session, f.model_type, f.parent, f.summary, f.architectures);
      return 0;
    }
    for (const Ancestor& a : kAncestors)
      if (a.parent.empty()) print(session, a.name, a.summary, false, 0);
    return 0;
  }

  static void emit(Session& session, std::string_view name, std::string_view parent,
                   std::string_view summary, const std::vector<std::string_view>& architectures) {
    Json list = Json::array();
    for (std::string_view architecture : architectures) list.push_back(std::string(architecture));
    session.emit(Json::object({{"name", std::string(name)},
                               {"parent", std::string(parent)},
                               {"changed", std::string(summary)},
                               {"runs", !architectures.empty()},
                               {"architectures", list}}));
  }

  // A system and all that descend from it. Those that Stemma does not run stand in brackets.
  static void print(Session& session, std::string_view name, std::string_view summary, bool runs,
                    size_t depth) {
    constexpr size_t kColumn = 28;
    std::string line(2 * depth, ' ');
    line += runs ? std::string(name) : cat("(", name, ")");
    line += std::string(line.size() + 2 < kColumn ? kColumn - line.size() : 2, ' ');
    session.print(line + std::string(summary));
    for (const Ancestor& a : kAncestors)
      if (a.parent == name) print(session, a.name, a.summary, false, depth + 1);
    for (const Family& f : families())
      if (f.parent == name) print(session, f.model_type, f.summary, true, depth + 1);
  }

  static ModelSpec spec_of(const std::string& name) {
    for (const Family& family : families())
      if (family.model_type == name) return resolve(Json::object({{"model_type", name}})).spec;
    std::filesystem::path path = resolve_model(name);
    if (std::filesystem::is_directory(path)) path /= "config.json";
    return resolve(Json::parse_file(path, {.infinities = true})).spec;
  }

  int print_diff(Session& session) const {
    if (models.size() != 2) fail(Code::kUsage, "[tree] --diff takes two models, A and B");
    const auto a = lines_of(spec_text(spec_of(models[0]))),
               b = lines_of(spec_text(spec_of(models[1])));
    const auto only = [](const std::vector<std::string>& in, const std::vector<std::string>& out) {
      std::vector<std::string> lines;
      std::ranges::copy_if(in, std::back_inserter(lines), [&](const std::string& line) {
        return std::ranges::find(out, line) == out.end();
      });
      return lines;
    };
    for (const std::string& line : only(a, b)) show(session, "-", models[0], line);
    for (const std::string& line : only(b, a)) show(session, "+", models[1], line);
    return 0;
  }

  static void show(Session& session, const char* sign, const std::string& model,
                   const std::string& line) {
    session.print(cat(sign, " ", line));
    if (session.json) session.emit(Json::object({{"only_in", model}, {"line", line}}));
  }
};

const RegisterVerb<Tree> verb("Check a model", "tree",
                              "The families and what each changed; two specs side by side");

}  // namespace
}  // namespace stemma::cli
