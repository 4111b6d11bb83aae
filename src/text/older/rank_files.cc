// Vocabularies of bytes in order of rank. tiktoken's: a token in base64 and its rank a line. RWKV's
// World: an id, the token as Python writes it, and its bytes' number a line; texts are cut by the
// longest token, from left to right.
#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/file.h"
#include "text/byte_level.h"
#include "text/charsmap.h"
#include "text/older/directory.h"
#include "text/utf8.h"

namespace stemma::older {
using namespace file_parts;
namespace {

constexpr std::string_view kGpt2Pattern =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)";
constexpr std::string_view kCl100kPattern =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|)"
    R"(\s++$|\s*[\r\n]|\s+(?!\S)|\s)";
constexpr std::string_view kO200kPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|)"
    R"('ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|)"
    R"(\s+)";
constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwenPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

struct NamedToken {
  std::string_view text;
  int32_t id;
};

// What the published rank files leave to the program: by the beginning of the file's name.
struct Encoding {
  std::string_view name, pattern;
  std::vector<NamedToken> special;
};

const Encoding& encoding_of(std::string_view name) {
  static const std::vector<Encoding> known = {
      {"gpt2", kGpt2Pattern, {{"<|endoftext|>", 50256}}},
      {"r50k_base", kGpt2Pattern, {{"<|endoftext|>", 50256}}},
      {"p50k_base", kGpt2Pattern, {{"<|endoftext|>", 50256}}},
      {"p50k_edit",
       kGpt2Pattern,
       {{"<|endoftext|>", 50256},
        {"<|fim_prefix|>", 50281},
        {"<|fim_middle|>", 50282},
        {"<|fim_suffix|>", 50283}}},
      {"cl100k_base",
       kCl100kPattern,
       {{"<|endoftext|>", 100257},
        {"<|fim_prefix|>", 100258},
        {"<|fim_middle|>", 100259},
        {"<|fim_suffix|>", 100260},
        {"<|endofprompt|>", 100276}}},
      {"o200k_base", kO200kPattern, {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}},
      {"qwen",
       kQwenPattern,
       {{"<|endoftext|>", 151643}, {"<|im_start|>", 151644}, {"<|im_end|>", 151645}}},
      {"", kLlama3Pattern, {}},
  };
  return *std::ranges::find_if(known, [&](const auto& e) { return name.starts_with(e.name); });
}

// A token of each line, by `parse(line)`, which gives (bytes, id).
struct RankedTokens {
  std::vector<std::pair<std::string, int32_t>> tokens;
  Vocab bytes;  // unlike others, of strings that need not be UTF-8

  void add(std::string token, int64_t id, const std::string& where) {
    check(bytes.find(token) < 0, "[", where, "] has the token of id ", id, " twice");
    bytes.add(token, id, where);
    tokens.emplace_back(std::move(token), static_cast<int32_t>(id));
  }
};

template <class Line>
void each_line(std::string_view text, Line line) {
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view one = text.substr(0, end);
    if (one.ends_with('\r')) one.remove_suffix(1);
    if (!one.empty()) line(one, number);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

int64_t parse_number(std::string_view text, const std::string& where, int64_t line) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check(error == std::errc() && end == text.data() + text.size(), "[", where, "] line ", line,
        ": '", text, "' is no number");
  return value;
}

// Merges by the ranks of what they make; every way to cut a token in two tokens is one.
Merges ranked_merges(const RankedTokens& ranked) {
  auto tokens = ranked.tokens;
  std::ranges::stable_sort(tokens, {}, [](const auto& token) { return token.second; });
  struct Merge {
    int32_t left, right;
    size_t at;
  };
  Merges merges;
  std::vector<Merge> of_token;
  std::vector<std::string_view> parts;  // both of each cut
  std::vector<int32_t> ids;
  for (const auto& [text, id] : tokens) {
    of_token.clear();
    parts.clear();
    const std::string_view view = text;
    for (size_t at = 1; at < text.size(); ++at)
      parts.insert(parts.end(), {view.substr(0, at), view.substr(at)});
    ids.resize(parts.size());
    ranked.bytes.find_all(parts, ids);
    for (size_t i = 0; i < ids.size(); i += 2)
      if (ids[i] >= 0 && ids[i + 1] >= 0) of_token.push_back({ids[i], ids[i + 1], i / 2 + 1});
    std::ranges::sort(of_token, {}, [](const Merge& m) { return std::pair(m.left, m.right); });
    for (const Merge& merge : of_token)
      merges.add(byte_level_image(view.substr(0, merge.at)),
                 byte_level_image(view.substr(merge.at)));
  }
  return merges;
}

// A string or bytes as Python's repr() writes them.
std::string python_literal(std::string_view text, const std::string& where, int64_t line) {
  const auto bad = [&]() {
    fail(Code::kFailed, "[", where, "] line ", line, ": ", text.substr(0, 60),
         " is no Python string");
  };
  const bool raw = text.starts_with('b');
  std::string_view rest = text.substr(raw);
  if (rest.size() < 2 || (rest[0] != '\'' && rest[0] != '"') || rest.back() != rest[0]) bad();
  rest = rest.substr(1, rest.size() - 2);
  std::string out;
  for (size_t at = 0; at < rest.size(); ++at) {
    if (rest[at] != '\\') {
      out += rest[at];
      continue;
    }
    if (++at == rest.size()) bad();
    static constexpr std::string_view kSimple = "\\\\''\"\"n\nt\tr\r";  // with what it means
    static constexpr std::string_view kHex = "xuU";
    if (const size_t simple = kSimple.find(rest[at]); simple != kSimple.npos && simple % 2 == 0) {
      out += kSimple[simple + 1];
      continue;
    }
    const size_t digits = rest[at] == 'x' ? 2 : rest[at] == 'u' ? 4 : 8;
    if (kHex.find(rest[at]) == kHex.npos || at + digits >= rest.size()) bad();
    uint32_t value = 0;
    const char* begin = rest.data() + at + 1;
    const auto [end, error] = std::from_chars(begin, begin + digits, value, 16);
    if (error != std::errc() || end != begin + digits || value > 0x10FFFF) bad();
    if (raw)
      out += static_cast<char>(value);
    else
      utf8::append(out, value);
    at += digits;
  }
  return out;
}

Vocab images(const RankedTokens& ranked, const std::string& where) {
  Vocab vocab;
  for (const auto& [bytes, id] : ranked.tokens) vocab.add(byte_level_image(bytes), id, where);
  return vocab;
}

}  // namespace

OlderTokenizer read_tiktoken(const Directory& files, const std::string& name) {
  const std::string where = files.where(name.c_str()), text = read_file(where);
  RankedTokens ranked;
  each_line(text, [&](std::string_view line, int64_t number) {
    const size_t space = line.find(' ');
    check(space != line.npos, "[", where, "] line ", number, " is no token in base64 and its rank");
    ranked.add(base64_decode(line.substr(0, space), where),
               parse_number(line.substr(space + 1), where, number), where);
  });
  check(!ranked.tokens.empty(), "[", where, "] has no tokens");
  const Encoding& encoding = encoding_of(name);
  Vocab vocab = images(ranked, where);
  for (const auto& [token, id] : encoding.special) vocab.add(token, id, where);
  ModelFile model = bpe_model(std::move(vocab), ranked_merges(ranked), {{"ignore_merges", true}});
  AddedList added(*model.vocab);
  added.add_configured(files, {});
  added.add_additional(files);
  for (const auto& [token, id] : encoding.special) added.add(Json(token), true);
  Json pre_tokenizer = sequence(
      "pretokenizers", Json::array({split(encoding.pattern), byte_level(false, true, false)}));
  return {tokenizer_file(added, Json(), std::move(pre_tokenizer), byte_level(true, false, true),
                         byte_level(true, true, true), std::move(model)),
          {}};
}

OlderTokenizer read_rwkv(const Directory& files, const std::string& name) {
  const std::string where = files.where(name.c_str()), text = read_file(where);
  RankedTokens ranked;
  each_line(text, [&](std::string_view line, int64_t number) {
    const size_t first = line.find(' '), last = line.rfind(' ');
    check(first < last && last != line.npos, "[", where, "] line ", number,
          " is no id, token and size");
    std::string token = python_literal(line.substr(first + 1, last - first - 1), where, number);
    const int64_t size = parse_number(line.substr(last + 1), where, number);
    check(static_cast<int64_t>(token.size()) == size, "[", where, "] line ", number,
          ": the token has ", token.size(), " bytes, not ", size);
    ranked.add(std::move(token), parse_number(line.substr(0, first), where, number), where);
  });
  ModelFile model{.fields = component("LongestMatch"), .vocab = images(ranked, where)};
  static const Defaults kRwkv{"", "<|rwkv_tokenizer_end_of_text|>", "", "", "", "", ""};
  model.vocab->add(kRwkv.eos, 0, where);  // the file begins with 1
  AddedList added(*model.vocab);
  added.add_configured(files, kRwkv);
  added.add_additional(files);
  return {tokenizer_file(added, Json(), Json(), bos_eos_template(files, kRwkv, added),
                         byte_level(true, true, true), std::move(model)),
          kRwkv};
}

}  // namespace stemma::older
