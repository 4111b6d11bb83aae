// The chat templates of a model directory: from messages to text, and from that text to ids.
// Templates are found as transformers finds them: chat_template.jinja and
// additional_chat_templates/*.jinja, else "chat_template" of tokenizer_config.json (a text, or a
// list of {name, template}), else of chat_template.json. With tools the one named tool_use serves,
// if there is one. Rendering follows apply_chat_template: members of a message that are null are
// left out, reasoning is passed under each of its names, special tokens are variables.
//
// A user must not be able to write control tokens. Every character of a rendering knows whether it
// came from the input (Rendered::input). In encode() a special token, or an added token that the
// template itself writes, is recognised only where both its first and its last character were
// written by the template; anywhere else it is ordinary text. (The middle may be input: templates
// build tokens such as <|user|> from a role.) The rest is encoded as one text, so that ids are
// those of the reference wherever the input holds no control token. Thread safety: a const
// ChatTemplate may be used from many threads.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "text/template/template.h"
#include "text/tokenizer.h"

namespace stemma {

struct ChatInput {
  Json messages = Json::array();
  Json tools, documents;  // null: none
  bool add_generation_prompt = false;
  // Ends the rendering behind the content of the last message, for the model to go on from.
  bool continue_final_message = false;
  Json variables = Json::object();  // further ones; they win over special tokens
};

class ChatTemplate {
 public:
  // Code::kNotFound where the directory has no chat template.
  static ChatTemplate load(const std::filesystem::path& directory);
  static ChatTemplate parse(std::string_view source, std::string_view where = "chat_template");

  Rendered render(const ChatInput& input, const TemplateLimits& limits = {},
                  std::optional<std::time_t> now = {}) const;

  // Ids of a rendering of `input`, without the tokens that the tokenizer would add by itself.
  // Code::kFailed where the tokenizer makes a control token of what is ordinary text.
  Encoding encode(const Tokenizer& tokenizer, const ChatInput& input, const Rendered& text) const;

 private:
  const Template& chosen(const ChatInput& input) const;

  std::map<std::string, Template> templates_;  // "default" where there is but one
  std::string where_;
  std::vector<TemplateVariable> special_tokens_;
};

// For each token whether it lies in a {% generation %} block: the loss mask of fine-tuning.
std::vector<uint8_t> generation_mask(const Encoding& encoding, const Rendered& text);

}  // namespace stemma
