#include "text/older/directory.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "text/added_tokens.h"

namespace stemma::older {
using namespace file_parts;
namespace {

namespace fs = std::filesystem;

std::string content_of(const Json& token) {
  return token.is_object() ? token.at("content").as_string() : token.as_string();
}

}  // namespace

std::string_view Defaults::role(std::string_view name) const {
  return name == "bos_token"   ? bos
         : name == "eos_token" ? eos
         : name == "unk_token" ? unk
         : name == "sep_token" ? sep
         : name == "pad_token" ? pad
         : name == "cls_token" ? cls
                               : mask;
}

Directory::Directory(const fs::path& directory) : path(directory) {
  if (has("tokenizer_config.json")) tokenizer_config = read("tokenizer_config.json");
  if (has("special_tokens_map.json")) special_tokens_map = read("special_tokens_map.json");
}

bool Directory::has(const char* name) const {
  std::error_code ignored;
  return fs::exists(path / name, ignored);
}

Json Directory::read(const char* name) const { return Json::parse_file(path / name); }

Json Directory::role(std::string_view name, std::string_view fallback) const {
  for (const Json* file : {&special_tokens_map, &tokenizer_config})
    if (const Json* token = file->find(name); token != nullptr && !token->is_null()) return *token;
  return fallback.empty() ? Json() : Json(fallback);
}

std::string Directory::role_content(std::string_view name, const Defaults& defaults) const {
  return content_of(role(name, defaults.role(name)));
}

std::string Directory::class_name(const char* fallback) const {
  std::string name = tokenizer_config.get("tokenizer_class", "");
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  if (!name.empty()) return name;
  if (has("config.json")) {
    static constexpr const char* kClasses[][2] = {
        {"roberta", "RobertaTokenizer"},
        {"bart", "RobertaTokenizer"},
        {"longformer", "RobertaTokenizer"},
        {"albert", "AlbertTokenizer"},
        {"qwen2", "Qwen2Tokenizer"},
        {"qwen3", "Qwen2Tokenizer"},
        {"openai-gpt", "OpenAIGPTTokenizer"},
        {"t5", "T5Tokenizer"},
        {"mt5", "T5Tokenizer"},
        {"xlm-roberta", "XLMRobertaTokenizer"},
        {"mbart", "MBartTokenizer"},
        {"mbart50", "MBart50Tokenizer"},
        {"nllb", "NllbTokenizer"},
        {"nllb-moe", "NllbTokenizer"},
        {"camembert", "CamembertTokenizer"},
        {"pegasus", "PegasusTokenizer"},
        {"big_bird", "BigBirdTokenizer"},
        {"deberta-v2", "DebertaV2Tokenizer"},
        {"xlnet", "XLNetTokenizer"},
        {"llama", "LlamaTokenizer"},
        {"mistral", "LlamaTokenizer"},
        {"gemma", "GemmaTokenizer"},
        {"gemma2", "GemmaTokenizer"},
    };
    const std::string type = read("config.json").get("model_type", "");
    for (const auto& [model_type, tokenizer_class] : kClasses)
      if (type == model_type) return tokenizer_class;
  }
  return fallback;
}

void AddedList::add(const Json& token, bool special) {
  AddedToken parsed;
  if (token.is_object()) {
    parsed = parse_added_token(token);
  } else {
    parsed.content = token.as_string();
    parsed.normalized = false;
  }
  parsed.special |= special;
  if (parsed.content.empty() || id_of_added(parsed.content) >= 0) return;
  int32_t id = vocab_.find(parsed.content);
  if (id < 0) id = next_id_++;
  ids_.emplace_back(parsed.content, id);
  tokens_.emplace_back(id, added_token_json(parsed, id));
}

int32_t AddedList::id_of_added(std::string_view content) const {
  const auto found =
      std::ranges::find(ids_, content, [](const auto& entry) { return entry.first; });
  return found == ids_.end() ? -1 : found->second;
}

int32_t AddedList::id(std::string_view content) const {
  const int32_t added = id_of_added(content);
  return added >= 0 ? added : vocab_.find(content);
}

void AddedList::add_configured(const Directory& files, const Defaults& defaults) {
  std::vector<std::pair<int64_t, Json>> listed;
  if (const Json* decoder = files.tokenizer_config.find("added_tokens_decoder"))
    for (const auto& [id, token] : decoder->members()) {
      int64_t number = 0;
      for (const char c : id) {
        check(c >= '0' && c <= '9' && number <= kMaxTokenId, "[",
              files.where("tokenizer_config.json"), "] added_tokens_decoder has the id '", id, "'");
        number = number * 10 + (c - '0');
      }
      listed.emplace_back(number, token);
    }
  std::stable_sort(listed.begin(), listed.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [id, token] : listed) add(token, false);
  for (const auto name : kRoles) {
    const Json token = files.role(name, defaults.role(name));
    if (token.is_null()) continue;
    if (name == "mask_token" && token.is_string() && defaults.mask_takes_space)
      add(Json::object(
              {{"content", token}, {"lstrip", true}, {"normalized", defaults.mask_normalized}}),
          true);
    else
      add(token, true);
  }
}

bool AddedList::add_additional(const Directory& files) {
  bool any = false;
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"})
    for (const Json* file : {&files.special_tokens_map, &files.tokenizer_config})
      if (const Json* tokens = file->find(key); tokens != nullptr && tokens->is_array()) {
        for (const Json& token : tokens->items()) add(token, true);
        any = true;
      }
  return any;
}

Json AddedList::json() const {
  auto sorted = tokens_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  Json out = Json::array();
  for (auto& [id, token] : sorted) out.push_back(std::move(token));
  return out;
}

Json template_processing(const std::vector<TemplatePiece>& single,
                         const std::vector<TemplatePiece>& pair, const AddedList& added,
                         std::string_view where) {
  Json special = Json::object();
  const auto pieces = [&](const std::vector<TemplatePiece>& list) {
    Json out = Json::array();
    for (const auto& [text, type, otherwise] : list) {
      if (text == "$A" || text == "$B") {
        out.push_back(Json::object(
            {{"Sequence", Json::object({{"id", text.substr(1)}, {"type_id", type}})}}));
        continue;
      }
      int32_t id = added.id(text);
      if (id < 0) id = otherwise;
      check(id >= 0, "[", where, "] the special token '", text, "' is not in the vocabulary");
      special.set(text,
                  Json::object(
                      {{"id", text}, {"ids", Json::array({id})}, {"tokens", Json::array({text})}}));
      out.push_back(
          Json::object({{"SpecialToken", Json::object({{"id", text}, {"type_id", type}})}}));
    }
    return out;
  };
  Json one = pieces(single), two = pieces(pair);
  return component("TemplateProcessing", {{"single", std::move(one)},
                                          {"pair", std::move(two)},
                                          {"special_tokens", std::move(special)}});
}

Json bos_eos_template(const Directory& files, const Defaults& defaults, const AddedList& added) {
  std::vector<TemplatePiece> single, pair;
  const auto append = [&](const char* option, const char* role, int type) {
    if (!files.tokenizer_config.get(option, false)) return;
    const Json token = files.role(role, defaults.role(role));
    if (!token.is_null()) pair.push_back({content_of(token), type});
  };
  for (const int type : {0, 1}) {
    append("add_bos_token", "bos_token", type);
    pair.push_back({type == 0 ? "$A" : "$B", type});
    append("add_eos_token", "eos_token", type);
    if (type == 0) single = pair;
  }
  return template_processing(single, pair, added, files.path.string());
}

TokenizerFile tokenizer_file(const AddedList& added, Json normalizer, Json pre_tokenizer,
                             Json post_processor, Json decoder, ModelFile&& model) {
  return {Json::object({{"version", "1.0"},
                        {"truncation", nullptr},
                        {"padding", nullptr},
                        {"added_tokens", added.json()},
                        {"normalizer", std::move(normalizer)},
                        {"pre_tokenizer", std::move(pre_tokenizer)},
                        {"post_processor", std::move(post_processor)},
                        {"decoder", std::move(decoder)}}),
          std::move(model)};
}

namespace {

// The first file of the directory, by name, with these ends; empty where there is none.
std::string file_named(const Directory& files, std::string_view begin, std::string_view end) {
  std::string first;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(files.path, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(begin) && name.ends_with(end) && (first.empty() || name < first))
      first = name;
  }
  return first;
}

}  // namespace

OlderTokenizer read(const Directory& files) {
  if (const std::string name = file_named(files, "rwkv_vocab_", ".txt"); !name.empty())
    return read_rwkv(files, name);
  if (files.has("vocab.txt")) return read_wordpiece(files);
  if (files.has("vocab.json") && files.has("merges.txt")) return read_vocab_and_merges(files);
  for (const char* name : {"spiece.model", "sentencepiece.bpe.model", "spm.model",
                           "tokenizer.model", "sentencepiece.model"})
    if (files.has(name)) return read_sentencepiece(files, name);
  if (const std::string name = file_named(files, "", ".tiktoken"); !name.empty())
    return read_tiktoken(files, name);
  fail(Code::kNotFound, "[", files.path.string(),
       "] has no tokenizer: neither tokenizer.json, nor vocab.txt, nor vocab.json with merges.txt, "
       "nor a .model of sentencepiece, nor a .tiktoken, nor an rwkv_vocab_*.txt");
}

}  // namespace stemma::older
