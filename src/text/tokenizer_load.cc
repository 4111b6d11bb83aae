// Loading from a model directory: tokenizer.json as it is; otherwise the older files (vocab.txt,
// vocab.json with merges.txt, or spiece.model), out of which the tokenizer.json is made that the
// class named there would have (transformers 5: BertTokenizer, RobertaTokenizer, GPT2Tokenizer,
// Qwen2Tokenizer, AlbertTokenizer).
#include <algorithm>
#include <cstdio>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "text/charsmap.h"
#include "text/sentencepiece.h"
#include "text/serde_number.h"
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
constexpr LegacyClass kAlbert{"[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"};
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

// [CLS] A [SEP] B [SEP], as Bert has it.
Json cls_sep_template(const Directory& files, const LegacyClass& defaults, const Vocab& vocab,
                      const std::string& where) {
  Json special = Json::object();
  const auto piece = [&](const char* role, int type) {
    const std::string token = content_of(files.role(role, defaults.role(role)));
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
  return Json::object({{"type", "TemplateProcessing"},
                       {"single", Json::array({cls, a, sep})},
                       {"pair", Json::array({cls, a, sep, b, sep1})},
                       {"special_tokens", special}});
}

Json wordpiece_file(const Directory& files) {
  const std::string where = files.where("vocab.txt");
  const Vocab vocab = Vocab::from_lines(read_file(where), where);
  Members tokens;
  for (int32_t id = 0; id < vocab.end_id(); ++id)
    if (const std::string* token = vocab.token(id)) tokens.emplace_back(*token, id);
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
       {"post_processor", cls_sep_template(files, kBert, vocab, where)},
       {"decoder", Json::object({{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}})},
       {"model", Json::object({{"type", "WordPiece"},
                               {"unk_token", content_of(files.role("unk_token", kBert.unk))},
                               {"continuing_subword_prefix", "##"},
                               {"max_input_chars_per_word", 100},
                               {"vocab", Json::object(std::move(tokens))}})}});
}

// A score as a number that serde_number() reads back exactly, which the shortest text need not be.
Json score_json(float score) {
  const auto exact = static_cast<double>(score);
  for (int precision = 9; precision <= 17; ++precision) {
    char text[64];
    const int size = std::snprintf(text, sizeof text, "%.*e", precision, exact);
    const Json number = Json::parse({text, static_cast<size_t>(size)});
    if (serde_number(number.number_text(), "score") == exact) return number;
  }
  return exact;
}

Json albert_file(const Directory& files) {
  const std::string where = files.where("spiece.model");
  const SentencePieceModel model = parse_sentencepiece(read_file(where), where);
  if (model.kind != SentencePieceModel::kUnigram)
    fail(Code::kUnsupported, "[", where, "] is no Unigram model, as AlbertTokenizer has it");
  Json pieces = Json::array(), added = added_tokens(files, kAlbert), unk_id;
  std::set<std::string> seen;
  for (const Json& token : added.items()) seen.insert(token.at("content").as_string());
  Vocab vocab;
  for (const auto& piece : model.pieces) {
    const auto id = static_cast<int32_t>(pieces.size());
    vocab.add(piece.text, id, where);
    pieces.push_back(Json::array({piece.text, score_json(piece.score)}));
    if (piece.type == SentencePieceModel::kUnknown) unk_id = id;
    if (piece.type != SentencePieceModel::kUserDefined || !seen.insert(piece.text).second) continue;
    AddedToken token;
    token.content = piece.text;
    token.normalized = false;
    added.push_back(added_token_json(token, id));
  }
  const auto typed = [](const char* type) { return Json::object({{"type", type}}); };
  const auto quotes = [](const char* text) {
    return Json::object(
        {{"type", "Replace"}, {"pattern", Json::object({{"String", text}})}, {"content", "\""}});
  };
  const Json& config = files.tokenizer_config;
  Json normalizers = Json::array({quotes("``"), quotes("''")});
  if (!config.get("keep_accents", false)) {
    normalizers.push_back(typed("NFKD"));
    normalizers.push_back(typed("StripAccents"));
  }
  if (config.get("do_lower_case", true)) normalizers.push_back(typed("Lowercase"));
  if (!model.charsmap.empty())
    normalizers.push_back(Json::object(
        {{"type", "Precompiled"}, {"precompiled_charsmap", base64_encode(model.charsmap)}}));
  const Json metaspace = Json::object({{"type", "Metaspace"},
                                       {"replacement", "\u2581"},
                                       {"prepend_scheme", "always"},
                                       {"split", true}});
  return Json::object(
      {{"version", "1.0"},
       {"truncation", nullptr},
       {"padding", nullptr},
       {"added_tokens", added},
       {"normalizer", Json::object({{"type", "Sequence"}, {"normalizers", normalizers}})},
       {"pre_tokenizer",
        Json::object({{"type", "Sequence"},
                      {"pretokenizers", Json::array({typed("WhitespaceSplit"), metaspace})}})},
       {"post_processor", cls_sep_template(files, kAlbert, vocab, where)},
       {"decoder", metaspace},
       {"model", Json::object({{"type", "Unigram"},
                               {"unk_id", unk_id},
                               {"vocab", pieces},
                               {"byte_fallback", false}})}});
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
    if (type == "albert") name = "AlbertTokenizer";
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
  if (files.has("spiece.model")) {
    const std::string name = class_name(files, "of no name");
    if (name != "AlbertTokenizer")
      fail(Code::kUnsupported, "[", files.where("spiece.model"), "] tokenizer_class ", name,
           " is not built without its tokenizer.json; there is AlbertTokenizer");
    defaults = kAlbert;
    return albert_file(files);
  }
  fail(Code::kNotFound, "[", files.path.string(),
       "] has no tokenizer: neither tokenizer.json, nor vocab.txt, nor vocab.json with merges.txt, "
       "nor spiece.model");
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
