#include "text/file_parts.h"

#include "text/added_tokens.h"

namespace stemma::file_parts {

Json component(const char* type, std::vector<Json::Member> fields) {
  fields.insert(fields.begin(), {"type", type});
  return Json::object(std::move(fields));
}

Json sequence(const char* field, Json steps) {
  return component("Sequence", {{field, std::move(steps)}});
}

Json replace(const char* kind, std::string_view pattern, std::string_view content) {
  return component("Replace", {{"pattern", Json::object({{kind, pattern}})}, {"content", content}});
}

Json split(std::string_view regex) {
  return component(
      "Split",
      {{"pattern", Json::object({{"Regex", regex}})}, {"behavior", "Isolated"}, {"invert", false}});
}

Json metaspace(std::string_view prepend_scheme, bool split) {
  return component(
      "Metaspace",
      {{"replacement", "\u2581"}, {"prepend_scheme", prepend_scheme}, {"split", split}});
}

Json byte_level(bool add_prefix_space, bool trim_offsets, bool use_regex) {
  return component("ByteLevel", {{"add_prefix_space", add_prefix_space},
                                 {"trim_offsets", trim_offsets},
                                 {"use_regex", use_regex}});
}

ModelFile bpe_model(Vocab vocab, Merges merges, std::vector<Json::Member> options) {
  Json fields = component("BPE", {{"dropout", nullptr},
                                  {"unk_token", nullptr},
                                  {"continuing_subword_prefix", nullptr},
                                  {"end_of_word_suffix", nullptr},
                                  {"fuse_unk", false},
                                  {"byte_fallback", false},
                                  {"ignore_merges", false}});
  for (auto& [name, value] : options) fields.set(name, std::move(value));
  return {.fields = std::move(fields), .vocab = std::move(vocab), .merges = std::move(merges)};
}

Json special_token(std::string_view content, int32_t id) {
  return added_token_json({.content = std::string(content), .normalized = false, .special = true},
                          id);
}

Json cls_sep(const Vocab& vocab) {
  const int32_t cls = vocab.find("[CLS]"), sep = vocab.find("[SEP]");
  if (cls < 0 || sep < 0) return {};
  return component("BertProcessing",
                   {{"sep", Json::array({"[SEP]", sep})}, {"cls", Json::array({"[CLS]", cls})}});
}

}  // namespace stemma::file_parts
