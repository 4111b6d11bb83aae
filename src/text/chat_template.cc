#include "text/chat_template.h"

#include <algorithm>

#include "base/file.h"
#include "text/utf8.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSpecialTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};
// Names a message's reasoning is passed under; the first is the standard one.
constexpr const char* kReasoning[] = {"reasoning_content", "thinking", "reasoning"};
constexpr std::string_view kContinueTag = "CONTINUE_FINAL_MESSAGE_TAG ";

Json read_if_there(const fs::path& path) {
  return fs::exists(path) ? Json::parse_file(path) : Json::object();
}

// A special token's text: written as such, or as {"content": ...}.
std::optional<std::string> token_text(const Json& config, std::string_view role) {
  const Json* value = config.find(role);
  if (value != nullptr && value->is_object()) value = value->find("content");
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return value->as_string();
}

Json clean_message(const Json& message) {
  check(message.is_object(), "[chat] a message must be an object with a role, got ",
        message.dump());
  Json reasoning, result = Json::object();
  for (const char* name : kReasoning)
    if (const Json* value = message.find(name); reasoning.is_null() && value != nullptr)
      reasoning = *value;
  if (!reasoning.is_null()) result.set("thinking", reasoning);
  for (const auto& [key, value] : message.members())
    if (!value.is_null()) result.set(key, value);
  if (!reasoning.is_null()) result.set("reasoning_content", reasoning);
  return result;
}

// Marks where the last message's content ends; gives that content.
std::string tag_final(Json& messages) {
  std::vector<Json> all = messages.items();
  check(!all.empty(), "[chat] there is no message to continue");
  const Json* content = all.back().find("content");
  check(content != nullptr, "[chat] the final message has no content to continue");
  std::string text;
  if (content->is_string()) {
    text = content->as_string();
    all.back().set("content", text + std::string(kContinueTag));
  } else {
    std::vector<Json> parts = content->items();
    const auto part = std::find_if(parts.rbegin(), parts.rend(),
                                   [](const Json& p) { return p.is_object() && p.has("text"); });
    check(part != parts.rend(), "[chat] the final message has no text to continue");
    text = part->at("text").as_string();
    part->set("text", text + std::string(kContinueTag));
    all.back().set("content", Json::array(std::move(parts)));
  }
  messages = Json::array(std::move(all));
  return text;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\r\f\v";
  const size_t begin = std::min(text.find_first_not_of(kSpace), text.size());
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

void cut_at_tag(Rendered& rendered, std::string_view content) {
  const std::string_view tag = trimmed(kContinueTag);
  const size_t at = rendered.text.rfind(tag);
  check(at != std::string::npos && rendered.text.find(trimmed(content)) != std::string::npos,
        "[chat] the final message cannot be continued: the template changes its content");
  const bool keeps_space = rendered.text.compare(at, kContinueTag.size(), kContinueTag) == 0;
  rendered.text.resize(at);
  if (!keeps_space) rendered.text.resize(rendered.text.find_last_not_of(" \t\n\r\f\v") + 1);
  std::erase_if(rendered.input,
                [&](const TextRange& r) { return r.begin >= rendered.text.size(); });
  for (TextRange& range : rendered.input) range.end = std::min(range.end, rendered.text.size());
}

}  // namespace

ChatTemplate ChatTemplate::parse(std::string_view source, std::string_view where) {
  ChatTemplate result;
  result.where_ = where;
  result.templates_.emplace("default", Template::parse(source, where));
  return result;
}

ChatTemplate ChatTemplate::load(const fs::path& directory) {
  ChatTemplate result;
  result.where_ = directory.string();
  const auto add_file = [&](const std::string& name, const fs::path& path) {
    result.templates_.emplace(name, Template::parse(read_file(path), path.filename().string()));
  };
  if (const fs::path path = directory / "chat_template.jinja"; fs::exists(path))
    add_file("default", path);
  if (const fs::path folder = directory / "additional_chat_templates"; fs::is_directory(folder))
    for (const auto& entry : fs::directory_iterator(folder))
      if (entry.path().extension() == ".jinja")
        add_file(entry.path().stem().string(), entry.path());

  const Json config = read_if_there(directory / "tokenizer_config.json");
  for (const char* name : {"tokenizer_config.json", "chat_template.json"}) {
    if (!result.templates_.empty()) break;
    const Json file = read_if_there(directory / name);
    const Json* value = file.find("chat_template");
    if (value == nullptr || value->is_null()) continue;
    const auto add = [&](const std::string& key, const Json& source) {
      result.templates_.emplace(
          key, Template::parse(source.as_string(), cat(name, " chat_template ", key)));
    };
    if (value->is_string()) {
      add("default", *value);
    } else {
      for (const Json& entry : value->items())
        add(entry.at("name").as_string(), entry.at("template"));
    }
  }
  if (result.templates_.empty())
    fail(Code::kNotFound, "[chat] ", directory.string(),
         " has no chat template: neither chat_template.jinja nor one in tokenizer_config.json");

  const Json roles = read_if_there(directory / "special_tokens_map.json");
  for (const char* role : kSpecialTokens) {
    std::optional<std::string> text = token_text(config, role);
    if (!text) text = token_text(roles, role);
    if (text) result.special_tokens_.push_back({role, Json(*text), false});
  }
  return result;
}

const Template& ChatTemplate::chosen(const ChatInput& input) const {
  if (!input.tools.is_null())
    if (const auto tool_use = templates_.find("tool_use"); tool_use != templates_.end())
      return tool_use->second;
  const auto found = templates_.find("default");
  if (found != templates_.end()) return found->second;
  std::string names;
  for (const auto& [name, unused] : templates_) names += (names.empty() ? "" : ", ") + name;
  fail(Code::kFailed, "[chat] ", where_,
       " has several chat templates and none named default: ", names);
}

Rendered ChatTemplate::render(const ChatInput& input, const TemplateLimits& limits,
                              std::optional<std::time_t> now) const {
  check(!(input.continue_final_message && input.add_generation_prompt),
        "[chat] either continue the final message or add a generation prompt");
  check(input.messages.size() > 0, "[chat] the conversation has no messages");
  Json messages = Json::array();
  for (const Json& message : input.messages.items()) messages.push_back(clean_message(message));
  const std::string final_text = input.continue_final_message ? tag_final(messages) : "";
  std::vector<TemplateVariable> variables = {
      {"messages", std::move(messages)},
      {"tools", input.tools},
      {"documents", input.documents},
      {"add_generation_prompt", input.add_generation_prompt}};
  for (const TemplateVariable& token : special_tokens_)
    if (!input.variables.has(token.name)) variables.push_back(token);
  for (const auto& [name, value] : input.variables.members()) variables.push_back({name, value});
  Rendered rendered = chosen(input).render(variables, limits, now);
  if (input.continue_final_message) cut_at_tag(rendered, final_text);
  return rendered;
}

Encoding ChatTemplate::encode(const Tokenizer& tokenizer, const ChatInput& input,
                              const Rendered& text) const {
  const std::string literals = chosen(input).literal_text();
  const auto is_control = [&](int32_t id) {
    if (tokenizer.is_special(id)) return true;
    const std::string& content = tokenizer.token(id);
    return !trimmed(content).empty() && literals.find(content) != std::string::npos;
  };
  const auto from_input = [&](size_t byte) {
    const auto after = std::upper_bound(text.input.begin(), text.input.end(), byte,
                                        [](size_t b, const TextRange& r) { return b < r.begin; });
    return after != text.input.begin() && byte < std::prev(after)->end;
  };
  struct Refused {
    int32_t id;
    size_t begin, end;
  };
  std::vector<Refused> refused;
  EncodeOptions options;
  options.special_tokens = false;
  options.accept_added = [&](int32_t id, size_t begin, size_t end) {
    if (!is_control(id) || (!from_input(begin) && !from_input(end - 1))) return true;
    refused.push_back({id, begin, end});
    return false;
  };
  Encoding encoding = tokenizer.encode(text.text, options);
  for (const Refused& token : refused) {
    const std::string_view all = text.text;
    const auto begin = static_cast<int32_t>(utf8::count(all.substr(0, token.begin)));
    const auto end = static_cast<int32_t>(utf8::count(all.substr(0, token.end)));
    for (size_t i = 0; i < encoding.ids.size(); ++i)
      check(encoding.ids[i] != token.id || encoding.offsets[i].second <= begin ||
                encoding.offsets[i].first >= end,
            "[chat] the input contains ", tokenizer.token(token.id),
            ", which this tokenizer cannot encode as ordinary text");
  }
  return encoding;
}

std::vector<uint8_t> generation_mask(const Encoding& encoding, const Rendered& text) {
  std::vector<uint8_t> mask(encoding.ids.size(), 0);
  for (size_t i = 0; i < mask.size(); ++i)
    for (const TextRange& range : text.generation)
      if (static_cast<size_t>(encoding.offsets[i].first) < range.end &&
          static_cast<size_t>(encoding.offsets[i].second) > range.begin)
        mask[i] = 1;
  return mask;
}

}  // namespace stemma
