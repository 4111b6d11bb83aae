#include "text/model.h"

#include "base/error.h"
#include "text/serde_number.h"

namespace stemma {
namespace {

std::unique_ptr<Model> parse_wordpiece(const Json& json, std::string_view where) {
  WordPieceOptions options;
  options.unk_token = json.at("unk_token").as_string();
  options.prefix = json.at("continuing_subword_prefix").as_string();
  options.max_chars = static_cast<int>(json.at("max_input_chars_per_word").as_int());
  return make_wordpiece(Vocab::from_json(json.at("vocab"), where), options, where);
}

// Merges are "a b" or ["a", "b"]; the second form is for tokens with a space in them.
Merges parse_merges(const Json& json, std::string_view where) {
  Merges merges;
  merges.reserve(json.size());
  for (const Json& item : json.items()) {
    if (item.is_array()) {
      check(item.size() == 2, "[", where, "] merge ", merges.size(), " is not a pair");
      merges.emplace_back(item.at(size_t{0}).as_string(), item.at(size_t{1}).as_string());
      continue;
    }
    const std::string& text = item.as_string();
    const size_t space = text.find(' ');
    check(space != text.npos && text.find(' ', space + 1) == text.npos, "[", where, "] merge ",
          merges.size(), " '", text, "' is not two tokens with a space between");
    merges.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
  return merges;
}

std::unique_ptr<Model> parse_bpe(const Json& json, std::string_view where) {
  if (json.get("dropout", 0.0) != 0.0)
    fail(Code::kUnsupported, "[", where, "] BPE dropout is not built; null turns it off");
  BpeOptions options;
  if (const Json* unk = json.find("unk_token"); unk != nullptr && !unk->is_null())
    options.unk_token = unk->as_string();
  options.prefix = json.get("continuing_subword_prefix", "");
  options.suffix = json.get("end_of_word_suffix", "");
  options.fuse_unk = json.get("fuse_unk", false);
  options.byte_fallback = json.get("byte_fallback", false);
  options.ignore_merges = json.get("ignore_merges", false);
  return make_bpe(Vocab::from_json(json.at("vocab"), where), parse_merges(json.at("merges"), where),
                  options, where);
}

std::unique_ptr<Model> parse_unigram(const Json& json, std::string_view where) {
  UnigramOptions options;
  if (const Json* unk = json.find("unk_id"); unk != nullptr && !unk->is_null()) {
    const int64_t id = unk->as_int();
    check(id >= 0 && id <= kMaxTokenId, "[", where, "] unk_id is ", id);
    options.unk_id = static_cast<int32_t>(id);
  }
  options.byte_fallback = json.get("byte_fallback", false);
  std::vector<ScoredToken> tokens;
  tokens.reserve(json.at("vocab").size());
  for (const Json& item : json.at("vocab").items()) {
    check(item.size() == 2, "[", where, "] token ", tokens.size(), " is no [text, score]");
    tokens.push_back(
        {item.at(size_t{0}).as_string(), serde_number(item.at(1).number_text(), where)});
  }
  return make_unigram(tokens, options, where);
}

}  // namespace

std::unique_ptr<Model> parse_model(const Json& json, std::string_view where) {
  // Old files leave the type out; the reference then takes the first model whose keys are there.
  const std::string type = json.get("type", json.has("merges")                     ? "BPE"
                                            : json.has("max_input_chars_per_word") ? "WordPiece"
                                            : json.has("unk_token")                ? "WordLevel"
                                                                                   : "Unigram");
  if (type == "WordPiece") return parse_wordpiece(json, where);
  if (type == "BPE") return parse_bpe(json, where);
  if (type == "Unigram") return parse_unigram(json, where);
  if (type == "WordLevel")
    return make_word_level(Vocab::from_json(json.at("vocab"), where),
                           json.at("unk_token").as_string(), where);
  fail(Code::kUnsupported, "[", where, "] model ", type,
       " is not one of BPE, WordPiece, WordLevel, Unigram");
}

}  // namespace stemma
