// stemma template render MODEL: what a conversation becomes before it reaches the model.
#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "cli/verb.h"
#include "hub/cache.h"
#include "text/chat_template.h"

namespace stemma::cli {
namespace {

Json read_json(const std::string& path) {
  if (path != "-") return Json::parse_file(path);
  std::string text;
  for (const std::string& line : read_lines({})) text += line + "\n";
  return Json::parse(text, "standard input");
}

struct TemplateVerb {
  std::string action, model, messages = "-", tools, documents;
  std::vector<std::string> variables;
  bool add_generation_prompt = false, continue_final_message = false;

  void declare(Options& o) {
    o.add("action", action, "render", true);
    o.add("model", model, "Directory or name of the model", true);
    o.add("variables", variables, "Further variables: name=value, a JSON value or a text");
    o.add("--messages", messages, "File with the messages as JSON: [{\"role\", \"content\"}, ...]");
    o.add("--tools", tools, "File with the tools as JSON");
    o.add("--documents", documents, "File with the documents as JSON");
    o.add("--add-generation-prompt", add_generation_prompt, "End where the model is to answer");
    o.add("--continue-final-message", continue_final_message,
          "End behind the last message, for the model to go on from");
    o.footer(
        "With --json: {\"rendered\", \"generation\"} and, where the model has a tokenizer, "
        "\"ids\". Example:\n"
        "  echo '[{\"role\": \"user\", \"content\": \"Hi\"}]' | stemma template render qwen3-0.6b "
        "--add-generation-prompt enable_thinking=false");
  }

  ChatInput input() const {
    ChatInput input;
    input.messages = read_json(messages);
    if (!tools.empty()) input.tools = read_json(tools);
    if (!documents.empty()) input.documents = read_json(documents);
    input.add_generation_prompt = add_generation_prompt;
    input.continue_final_message = continue_final_message;
    for (const std::string& variable : variables) {
      const size_t equals = variable.find('=');
      if (equals == std::string::npos || equals == 0)
        fail(Code::kUsage, "[template] expected name=value, got \"", variable, "\"");
      const std::string name = variable.substr(0, equals), value = variable.substr(equals + 1);
      try {
        input.variables.set(name, Json::parse(value));
      } catch (const Error&) {
        input.variables.set(name, Json(value));  // no JSON: the text itself
      }
    }
    return input;
  }

  int run(Session& session) {
    if (action != "render") fail(Code::kUsage, "[template] expected 'render', got '", action, "'");
    const std::filesystem::path directory = resolve_model(model, Need::any_file);
    const ChatTemplate chat = ChatTemplate::load(directory);
    const ChatInput conversation = input();
    const Rendered rendered = chat.render(conversation);
    if (!session.json) {
      session.print(rendered.text);
      return 0;
    }
    Json spans = Json::array();
    for (const TextRange& range : rendered.generation)
      spans.push_back(Json::array({Json(range.begin), Json(range.end)}));
    Json object = Json::object({{"rendered", rendered.text}, {"generation", std::move(spans)}});
    std::optional<Tokenizer> tokenizer;
    try {
      tokenizer = Tokenizer::load(directory);
    } catch (const Error& e) {
      if (e.code() != Code::kNotFound) throw;
    }
    if (tokenizer) {
      const Encoding encoding = chat.encode(*tokenizer, conversation, rendered);
      object.set("ids", Json::array({encoding.ids.begin(), encoding.ids.end()}));
    }
    session.emit(object);
    return 0;
  }
};

const RegisterVerb<TemplateVerb> verb("Text", "template",
                                      "Chat templates: render a conversation as its model sees it");

}  // namespace
}  // namespace stemma::cli
