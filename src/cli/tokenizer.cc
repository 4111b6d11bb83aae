// stemma tokenizer encode|decode|inspect|compare|train: texts to ids and back, what a tokenizer is
// made of, two of them beside each other, and new ones.
#include "text/tokenizer.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "cli/progress.h"
#include "cli/verb.h"
#include "hub/cache.h"
#include "text/trainer.h"

namespace stemma::cli {
namespace {

Tokenizer load(const std::string& model) {
  return Tokenizer::load(resolve_model(model, Need::any_file));
}

Json array_of(const auto& list) {
  Json out = Json::array();
  for (const auto& item : list) out.push_back(static_cast<int64_t>(item));
  return out;
}

Json pairs_of(const std::vector<std::pair<int32_t, int32_t>>& list) {
  Json out = Json::array();
  for (const auto& [begin, end] : list) out.push_back(Json::array({begin, end}));
  return out;
}

// Calls line(text) for each line of the files, or of standard input where there are none.
void each_line(const std::vector<std::string>& files,
               const std::function<void(std::string&)>& line) {
  for (std::string& text : read_lines(files)) line(text);
}

struct TokenizerVerb {
  std::string action, model, other;
  std::vector<std::string> rest;
  std::string kind = "byte-bpe", out;
  std::vector<std::string> special_tokens;
  int vocab_size = 30000, limit_alphabet = 0;
  uint64_t min_frequency = 0;
  bool cased = false;
  bool no_special = false, whole = false, json_lines = false, offsets = false, keep_special = false;
  int max_length = 0, stride = 0;

  void declare(Options& o) {
    o.add("action", action, "encode, decode, inspect, compare or train", true);
    o.add("model", model, "Directory or name of the tokenizer; train: where the new one goes",
          true);
    o.add("files", rest,
          "Texts, one a line (decode: ids); default: standard input. compare: the second "
          "tokenizer, then texts");
    o.add("--no-special", no_special, "encode, compare: add no special tokens");
    o.add("--whole", whole, "encode, compare: a file is one text");
    o.add("--json-lines", json_lines,
          "encode: each line is a JSON string, or an array of two for a pair");
    o.add("--offsets", offsets, "encode: with --json, also offsets, type ids and word ids");
    o.add("--max-length", max_length, "encode: cut to this many tokens (0: do not)");
    o.add("--stride", stride, "encode: tokens that windows share; what is cut off is shown, too");
    o.add("--keep-special", keep_special, "decode: write special tokens out");
    o.add("--kind", kind, "train: byte-bpe, bpe, wordpiece or unigram");
    o.add("--vocab-size", vocab_size, "train: tokens of the new vocabulary");
    o.add("--min-frequency", min_frequency, "train: of a pair, to be merged (BPE, WordPiece)");
    o.add("--limit-alphabet", limit_alphabet,
          "train: keep the most frequent characters only (BPE, WordPiece; 0: all)");
    o.add("--special-token", special_tokens, "train: a special token; may be given several times");
    o.add("--cased", cased, "train: WordPiece that tells upper from lower case");
    o.footer(
        "With --json: encode {\"ids\"[, \"offsets\", \"type_ids\", \"word_ids\", \"special\", "
        "\"overflow\"]} a text, decode {\"text\"} a line, inspect, compare and train one "
        "object. Examples:\n"
        "  stemma tokenizer train my-tokenizer corpus.txt --kind unigram --vocab-size 8000\n"
        "  echo 'Hello there' | stemma tokenizer encode llama-3.2-1b --json");
  }

  EncodeOptions options() const {
    EncodeOptions options;
    options.special_tokens = !no_special;
    options.offsets = offsets;
    options.truncation.max_length = max_length;
    options.truncation.stride = stride;
    options.overflow = stride > 0;
    return options;
  }

  Json object(const Encoding& encoding) const {
    Json out = Json::object({{"ids", array_of(encoding.ids)}});
    if (offsets) {
      out.set("offsets", pairs_of(encoding.offsets));
      out.set("type_ids", array_of(encoding.type_ids));
      out.set("word_ids", array_of(encoding.word_ids));
      out.set("special", array_of(encoding.special));
    }
    if (!encoding.overflow.empty()) {
      Json overflow = Json::array();
      for (const Encoding& part : encoding.overflow) overflow.push_back(object(part));
      out.set("overflow", std::move(overflow));
    }
    return out;
  }

  void show(const Session& session, const Encoding& encoding) const {
    if (session.json) return session.emit(object(encoding));
    std::string line;
    for (const int32_t id : encoding.ids) line += cat(line.empty() ? "" : " ", id);
    session.print(line);
    for (const Encoding& part : encoding.overflow) show(session, part);
  }

  int encode(const Session& session) const {
    const Tokenizer tokenizer = load(model);
    const EncodeOptions how = options();
    if (whole) {
      check(!rest.empty(), "[tokenizer] --whole needs files");
      for (const std::string& file : rest) show(session, tokenizer.encode(read_file(file), how));
      return 0;
    }
    each_line(rest, [&](const std::string& line) {
      if (!json_lines) return show(session, tokenizer.encode(line, how));
      const Json text = Json::parse(line, "line");
      show(session, text.is_array() ? tokenizer.encode_pair(text.at(size_t{0}).as_string(),
                                                            text.at(1).as_string(), how)
                                    : tokenizer.encode(text.as_string(), how));
    });
    return 0;
  }

  // Ids as encode shows them, or a JSON array.
  static std::vector<int32_t> ids_of(std::string line) {
    std::ranges::replace_if(
        line, [](char c) { return c == '[' || c == ']' || c == ','; }, ' ');
    std::vector<int32_t> ids;
    for (const char *at = line.data(), *end = at + line.size(); at != end;) {
      if (*at == ' ') {
        ++at;
        continue;
      }
      int32_t id = 0;
      const auto [next, error] = std::from_chars(at, end, id);
      if (error != std::errc()) fail(Code::kUsage, "[tokenizer] '", line, "' is no line of ids");
      ids.push_back(id);
      at = next;
    }
    return ids;
  }

  int decode(const Session& session) const {
    const Tokenizer tokenizer = load(model);
    each_line(rest, [&](const std::string& line) {
      const std::string text = tokenizer.decode(ids_of(line), !keep_special);
      if (session.json)
        session.emit(Json::object({{"text", text}}));
      else
        session.print(text);
    });
    return 0;
  }

  // "Sequence(NFC, Lowercase)": the types of a component.
  static std::string types(const Json& component) {
    if (!component.is_object()) return "-";
    std::string out = component.get("type", "?"), steps;
    for (const char* field : {"normalizers", "pretokenizers", "processors", "decoders"})
      if (const Json* list = component.find(field))
        for (const Json& step : list->items()) steps += (steps.empty() ? "" : ", ") + types(step);
    return steps.empty() ? out : out + "(" + steps + ")";
  }

  int inspect(const Session& session) const {
    const Tokenizer tokenizer = load(model);
    const Json file = tokenizer.file();
    const SpecialTokens& special = tokenizer.special();
    Json roles = Json::object();
    const auto role = [&](const char* name, std::optional<int32_t> id) {
      if (id) roles.set(name, Json::array({*id, tokenizer.token(*id)}));
    };
    role("bos", special.bos);
    role("eos", special.eos);
    role("unk", special.unk);
    role("sep", special.sep);
    role("pad", special.pad);
    role("cls", special.cls);
    role("mask", special.mask);
    Json parts = Json::object();
    for (const char* name : {"normalizer", "pre_tokenizer", "model", "post_processor", "decoder"}) {
      const Json* part = file.find(name);
      parts.set(name, part == nullptr ? "-" : types(*part));
    }
    int added = 0;
    for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) added += tokenizer.is_special(id);
    Json object = Json::object(
        {{"vocab_size", tokenizer.vocab_size()},
         {"special_tokens", added},
         {"roles", roles},
         {"max_length", tokenizer.max_length() ? Json(*tokenizer.max_length()) : Json()},
         {"dropout", tokenizer.dropout()}});
    for (const auto& [name, value] : parts.members()) object.set(name, value);
    if (session.json) {
      session.emit(object);
      return 0;
    }
    for (const auto& [name, value] : object.members()) {
      if (name == "roles") continue;
      session.print(cat(name, std::string(16 - std::min<size_t>(16, name.size()), ' '),
                        value.is_string() ? value.as_string() : value.dump()));
    }
    for (const auto& [name, value] : roles.members())
      session.print(cat(name, std::string(16 - name.size(), ' '), value.at(size_t{0}).dump(), "  ",
                        value.at(1).as_string()));
    return 0;
  }

  // How many tokens two tokenizers need for the same texts, and where they first differ.
  int compare(const Session& session) const {
    if (rest.empty()) fail(Code::kUsage, "[tokenizer] compare needs a second tokenizer");
    const Tokenizer first = load(model), second = load(rest[0]);
    std::vector<std::string> texts;
    const std::vector<std::string> files(rest.begin() + 1, rest.end());
    if (whole)
      for (const std::string& file : files) texts.push_back(read_file(file));
    else
      texts = read_lines(files);
    const EncodeOptions how{.special_tokens = !no_special, .offsets = false};
    uint64_t bytes = 0, tokens[2] = {0, 0}, different = 0;
    std::string example;
    for (const std::string& text : texts) {
      const Encoding a = first.encode(text, how), b = second.encode(text, how);
      bytes += text.size();
      tokens[0] += a.ids.size();
      tokens[1] += b.ids.size();
      if (a.ids == b.ids) continue;
      if (different++ == 0) example = text.substr(0, 200);
    }
    const auto per_token = [&](int i) {
      return tokens[i] == 0 ? 0.0 : static_cast<double>(bytes) / static_cast<double>(tokens[i]);
    };
    if (session.json) {
      session.emit(Json::object({{"texts", texts.size()},
                                 {"bytes", bytes},
                                 {"tokens", Json::array({tokens[0], tokens[1]})},
                                 {"bytes_per_token", Json::array({per_token(0), per_token(1)})},
                                 {"different", different}}));
    } else {
      session.print(cat(texts.size(), " texts, ", bytes, " bytes"));
      char line[160];
      for (int i = 0; i < 2; ++i) {
        std::snprintf(line, sizeof line, "%12llu tokens, %.3f bytes a token  ",
                      static_cast<unsigned long long>(tokens[i]), per_token(i));
        session.print(line + (i == 0 ? model : rest[0]));
      }
      session.print(different == 0 ? "the same ids for every text"
                                   : cat(different, " texts differ, the first: ", example));
    }
    return 0;
  }

  TokenizerTraining training() const {
    static constexpr std::pair<const char*, TokenizerKind> kKinds[] = {
        {"byte-bpe", TokenizerKind::byte_bpe},
        {"bpe", TokenizerKind::bpe},
        {"wordpiece", TokenizerKind::wordpiece},
        {"unigram", TokenizerKind::unigram}};
    const auto* found =
        std::ranges::find(kKinds, kind, [](const auto& entry) { return entry.first; });
    if (found == std::end(kKinds))
      fail(Code::kUsage, "[tokenizer] --kind ", kind,
           " is none of byte-bpe, bpe, wordpiece, unigram");
    if (limit_alphabet < 0) fail(Code::kUsage, "[tokenizer] --limit-alphabet is negative");
    TokenizerTraining training;
    training.kind = found->second;
    training.vocab_size = vocab_size;
    training.min_frequency = min_frequency;
    training.special_tokens = special_tokens;
    training.limit_alphabet = limit_alphabet;
    training.lowercase = !cased;
    return training;
  }

  // A line with its end is a text; of a file only one line is in memory.
  int train(const Session& session) const {
    if (rest.empty()) fail(Code::kUsage, "[tokenizer] train needs files of text");
    TokenizerTraining how = training();
    uint64_t total = 0, done = 0, lines = 0;
    for (const std::string& file : rest) {
      std::error_code error;
      total += std::filesystem::file_size(file, error);
      if (error) fail(Code::kNotFound, "[tokenizer] ", file, ": ", error.message());
    }
    Tokenizer trained = [&] {
      std::optional<Progress> reading, learning;
      reading.emplace("reading", "bytes", total);
      how.progress = [&](int made, int wanted) {
        reading.reset();
        if (!learning) learning.emplace("learning", "tokens", static_cast<size_t>(wanted));
        learning->update(static_cast<size_t>(made));
      };
      size_t next = 0;
      std::ifstream in;
      std::string line;
      const TextSource texts = [&]() -> std::optional<std::string_view> {
        while (!in.is_open() || !std::getline(in, line)) {
          if (in.is_open()) check(!in.bad(), "[tokenizer] cannot read ", rest[next - 1]);
          if (next == rest.size()) return std::nullopt;
          in = std::ifstream(rest[next], std::ios::binary);
          if (!in) fail(Code::kNotFound, "[tokenizer] cannot open ", rest[next]);
          ++next;
        }
        if (!in.eof()) line += '\n';
        done += line.size();
        if (++lines % 1024 == 0) reading->update(done);
        return line;
      };
      return train_tokenizer(texts, how, session.engine.team());
    }();
    trained.save(model);
    if (session.json)
      session.emit(Json::object({{"path", model},
                                 {"vocab_size", trained.vocab_size()},
                                 {"texts", lines},
                                 {"bytes", done}}));
    else
      session.print(cat(model, ": ", trained.vocab_size(), " tokens, from ", lines, " lines, ",
                        done, " bytes"));
    return 0;
  }

  int run(Session& session) {
    if (action == "train") return train(session);
    if (action == "encode") return encode(session);
    if (action == "decode") return decode(session);
    if (action == "inspect") return inspect(session);
    if (action == "compare") return compare(session);
    fail(Code::kUsage, "[tokenizer] '", action,
         "' is none of encode, decode, inspect, compare, train");
  }
};

const RegisterVerb<TokenizerVerb> verb("Text", "tokenizer",
                                       "Tokenizers: encode, decode, inspect, compare, train");

}  // namespace
}  // namespace stemma::cli
