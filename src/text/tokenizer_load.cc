// Loading from a model directory: tokenizer.json as it is; otherwise the older files (vocab.txt, or
// vocab.json with merges.txt), out of which the tokenizer.json is made that the class named there
// would have (transformers 5: BertTokenizer, RobertaTokenizer, GPT2Tokenizer, Qwen2Tokenizer).
#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "text/tokenizer_impl.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

using Members = std::vector<Json::Member>;

constexpr std::string_view kRoles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};

// The configuration files beside the vocabulary; absent ones are empty objects.
struct Directory {
  fs::path path;
  Json tokenizer_config = Json::object(), special_tokens_map = Json::object();

  explicit Directory(const fs::path& directory) : path(directory) {
    if (has("tokenizer_config.json")) tokenizer_config = read("tokenizer_config.json");
    if (has("special_tokens_map.json")) special_tokens_map = read("special_tokens_map.json");
  }
  bool has(const char* name) const {
    std::error_code ignored;
    return fs::exists(path / name, ignored);
  }
  Json read(const char* name) const { return Json::parse_file(path / name); }
  std::string where(const char* name) const { return (path / name).string(); }

  // The token of a role: a string, or an object with content and flags; null where nobody says.
  Json role(std::string_view name, std::string_view fallback) const {
    for (const Json* file : {&special_tokens_map, &tokenizer_config})
      if (const Json* token = file->find(name); token != nullptr && !token->is_null())
        return *token;
    return fallback.empty() ? Json() : Json(fallback);
  }
};

std::string content_of(const Json& token) {
  return token.is_object() ? token.at("content").as_string() : token.as_string();
}

// What a class assumes where the files are silent.
struct LegacyClass {
  std::string_view bos, eos, unk, sep, pad, cls, mask;
  std::string_view role(std::string_view name) const {
    return name == "bos_token"   ? bos
           : name == "eos_token" ? eos
           : name == "unk_token" ? unk
           : name == "sep_token" ? sep
           : name == "pad_token" ? pad
           : name == "cls_token" ? cls
                                 : mask;
  }
};
constexpr LegacyClass kBert{"", "", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};
constexpr LegacyClass kRoberta{"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"};
constexpr LegacyClass kGpt2{"<|endoftext|>", "<|endoftext|>", "<|endoftext|>", "", "", "", ""};
constexpr LegacyClass kQwen2{"", "<|endoftext|>", "<|endoftext|>", "", "<|endoftext|>", "", ""};

// Added tokens: those the configuration lists by id, then the roles.
Json added_tokens(const Directory& files, const LegacyClass& defaults) {
  std::vector<std::pair<int64_t, Json>> listed;
  std::set<std::string> seen;
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
  Json out = Json::array();
  const auto add = [&](const Json& token, bool special) {
    AddedToken parsed;
    if (token.is_object()) {
      parsed = parse_added_token(token);
    } else {
      parsed.content = token.as_string();
      parsed.normalized = false;
    }
    parsed.special |= special;
    if (seen.insert(parsed.content).second)
      out.push_back(added_token_json(parsed, static_cast<int32_t>(out.size())));
  };
  for (const auto& [id, token] : listed) add(token, false);
  for (const auto name : kRoles)
    if (const Json token = files.role(name, defaults.role(name)); !token.is_null())
      add(token, true);
  return out;
}

Json wordpiece_file(const Directory& files) {
  const std::string where = files.where("vocab.txt");
  const Vocab vocab = Vocab::from_lines(read_file(where), where);
  Members tokens;
  for (int32_t id = 0; id < vocab.end_id(); ++id)
    if (const std::string* token = vocab.token(id)) tokens.emplace_back(*token, id);

  Json special = Json::object();
  const auto piece = [&](const char* role, int type) {
    const std::string token = content_of(files.role(role, kBert.role(role)));
    const int32_t id = vocab.find(token);
    check(id >= 0, "[", where, "] the ", role, " '", token, "' is not in the vocabulary");
    special.set(token,
                Json::object(
                    {{"id", token}, {"ids", Json::array({id})}, {"tokens", Json::array({token})}}));
    return Json::object({{"SpecialToken", Json::object({{"id", token}, {"type_id", type}})}});
  };
  const auto sequence = [](const char* name, int type) {
    return Json::object({{"Sequence", Json::object({{"id", name}, {"type_id", type}})}});
  };
  const Json cls = piece("cls_token", 0), sep = piece("sep_token", 0), sep1 = piece("sep_token", 1);
  const Json a = sequence("A", 0), b = sequence("B", 1);

  const Json& config = files.tokenizer_config;
  const Json* strip = config.find("strip_accents");
  return Json::object(
      {{"version", "1.0"},
       {"truncation", nullptr},
       {"padding", nullptr},
       {"added_tokens", added_tokens(files, kBert)},
       {"normalizer",
        Json::object({{"type", "BertNormalizer"},
                      {"clean_text", true},
                      {"handle_chinese_chars", config.get("tokenize_chinese_chars", true)},
                      {"strip_accents", strip != nullptr ? *strip : Json()},
                      {"lowercase", config.get("do_lower_case", true)}})},
       {"pre_tokenizer", Json::object({{"type", "BertPreTokenizer"}})},
       {"post_processor", Json::object({{"type", "TemplateProcessing"},
                                        {"single", Json::array({cls, a, sep})},
                                        {"pair", Json::array({cls, a, sep, b, sep1})},
                                        {"special_tokens", special}})},
       {"decoder", Json::object({{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}})},
       {"model", Json::object({{"type", "WordPiece"},
                               {"unk_token", content_of(files.role("unk_token", kBert.unk))},
                               {"continuing_subword_prefix", "##"},
                               {"max_input_chars_per_word", 100},
                               {"vocab", Json::object(std::move(tokens))}})}});
}

// merges.txt: one pair a line; a first line may name the version.
Json read_merges(const std::string& where) {
  const std::string text = read_file(where);
  Json merges = Json::array();
  std::string_view rest = text;
  for (bool first = true; !rest.empty(); first = false) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if ((first && line.starts_with("#version")) || line.empty()) continue;
    const size_t space = line.find(' ');
    check(space != line.npos, "[", where, "] line '", line, "' is not two tokens with a space");
    merges.push_back(Json::array({line.substr(0, space), line.substr(space + 1)}));
  }
  return merges;
}

Json byte_level(bool add_prefix_space, bool trim_offsets, bool use_regex) {
  return Json::object({{"type", "ByteLevel"},
                       {"add_prefix_space", add_prefix_space},
                       {"trim_offsets", trim_offsets},
                       {"use_regex", use_regex}});
}

Json bpe_file(const Directory& files, const std::string& name) {
  const std::string where = files.where("vocab.json");
  const Json vocab = files.read("vocab.json");
  const Json& config = files.tokenizer_config;
  const bool prefix_space = config.get("add_prefix_space", false);
  const LegacyClass& defaults = name == "RobertaTokenizer" ? kRoberta
                                : name == "Qwen2Tokenizer" ? kQwen2
                                                           : kGpt2;
  Json normalizer, pre_tokenizer = byte_level(prefix_space, true, true), post_processor;
  if (name == "RobertaTokenizer") {
    const auto pair = [&](const char* role) {
      const std::string token = content_of(files.role(role, defaults.role(role)));
      check(vocab.has(token), "[", where, "] the ", role, " '", token,
            "' is not in the vocabulary");
      return Json::array({token, vocab.at(token)});
    };
    post_processor = Json::object({{"type", "RobertaProcessing"},
                                   {"sep", pair("sep_token")},
                                   {"cls", pair("cls_token")},
                                   {"trim_offsets", config.get("trim_offsets", true)},
                                   {"add_prefix_space", prefix_space}});
  } else if (name == "Qwen2Tokenizer") {
    normalizer = Json::object({{"type", "NFC"}});
    const Json split = Json::object(
        {{"type", "Split"},
         {"pattern", Json::object({{"Regex", R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?)"
                                             R"(\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|)"
                                             R"(\s+(?!\S)|\s+)"}})},
         {"behavior", "Isolated"},
         {"invert", false}});
    pre_tokenizer = Json::object(
        {{"type", "Sequence"},
         {"pretokenizers", Json::array({split, byte_level(prefix_space, true, false)})}});
  }
  return Json::object(
      {{"version", "1.0"},
       {"truncation", nullptr},
       {"padding", nullptr},
       {"added_tokens", added_tokens(files, defaults)},
       {"normalizer", normalizer},
       {"pre_tokenizer", pre_tokenizer},
       {"post_processor", post_processor},
       {"decoder", byte_level(true, true, true)},
       {"model", Json::object({{"type", "BPE"},
                               {"dropout", nullptr},
                               {"unk_token", nullptr},
                               {"continuing_subword_prefix", ""},
                               {"end_of_word_suffix", ""},
                               {"fuse_unk", false},
                               {"byte_fallback", false},
                               {"ignore_merges", false},
                               {"vocab", vocab},
                               {"merges", read_merges(files.where("merges.txt"))}})}});
}

// The class the configuration names, without the Fast of its ending.
std::string class_name(const Directory& files, const char* fallback) {
  std::string name = files.tokenizer_config.get("tokenizer_class", "");
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  if (name.empty() && files.has("config.json")) {
    const std::string type = files.read("config.json").get("model_type", "");
    if (type == "roberta" || type == "bart" || type == "longformer") name = "RobertaTokenizer";
    if (type == "qwen2" || type == "qwen3") name = "Qwen2Tokenizer";
  }
  return name.empty() ? fallback : name;
}

Json legacy_file(const Directory& files, LegacyClass& defaults) {
  if (files.has("vocab.txt")) {
    const std::string name = class_name(files, "BertTokenizer");
    if (name != "BertTokenizer" && name != "DistilBertTokenizer" && name != "ElectraTokenizer")
      fail(Code::kUnsupported, "[", files.where("vocab.txt"), "] tokenizer_class ", name,
           " is not built without its tokenizer.json; there are BertTokenizer, "
           "DistilBertTokenizer, ElectraTokenizer");
    defaults = kBert;
    return wordpiece_file(files);
  }
  if (files.has("vocab.json") && files.has("merges.txt")) {
    std::string name = class_name(files, "GPT2Tokenizer");
    if (name == "BartTokenizer" || name == "LongformerTokenizer") name = "RobertaTokenizer";
    if (name != "GPT2Tokenizer" && name != "RobertaTokenizer" && name != "Qwen2Tokenizer")
      fail(Code::kUnsupported, "[", files.where("vocab.json"), "] tokenizer_class ", name,
           " is not built without its tokenizer.json; there are GPT2Tokenizer, RobertaTokenizer, "
           "BartTokenizer, LongformerTokenizer, Qwen2Tokenizer");
    defaults = name == "RobertaTokenizer" ? kRoberta : name == "GPT2Tokenizer" ? kGpt2 : kQwen2;
    return bpe_file(files, name);
  }
  fail(Code::kNotFound, "[", files.path.string(),
       "] has no tokenizer: neither tokenizer.json, nor vocab.txt, nor vocab.json with merges.txt");
}

}  // namespace

Tokenizer Tokenizer::load(const std::filesystem::path& directory) {
  std::error_code ignored;
  if (!fs::is_directory(directory, ignored))
    fail(Code::kNotFound, "[", directory.string(), "] is no directory with a tokenizer");
  const Directory files(directory);
  LegacyClass defaults{};
  const bool whole = files.has("tokenizer.json");
  auto impl =
      std::make_unique<Impl>(whole ? files.read("tokenizer.json") : legacy_file(files, defaults),
                             whole ? files.where("tokenizer.json") : directory.string());
  impl->read_config(files.tokenizer_config);
  impl->read_roles(files.special_tokens_map);
  Json roles = Json::object();
  for (const auto name : kRoles)
    if (!defaults.role(name).empty()) roles.set(name, defaults.role(name));
  impl->read_roles(roles);

  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"})
    if (files.has(name)) impl->files.push_back({name, read_file(directory / name)});
  return Tokenizer(std::move(impl));
}

}  // namespace stemma
