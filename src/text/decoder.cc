#include "text/decoder.h"

#include <algorithm>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/utf8.h"

namespace stemma {
namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size())
    text.replace(at, from.size(), to);
}

// Characters of the byte alphabet back to bytes; broken UTF-8 becomes U+FFFD.
class ByteLevel : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string all, bytes;
    for (const std::string& token : tokens) all += byte_level_bytes(token, bytes) ? bytes : token;
    tokens.assign(1, utf8::lossy(all));
  }

  // All but those that the last character reaches into, if it is not whole yet.
  size_t settled(std::span<const std::string> tokens) const override {
    std::string tail, bytes;
    for (size_t n = tokens.size(); n > 0; --n) {
      tail.insert(0, byte_level_bytes(tokens[n - 1], bytes) ? bytes : tokens[n - 1]);
      size_t lead = tail.size();
      while (lead > 0 && tail.size() - lead < 3 && utf8::is_continuation(tail[lead - 1])) --lead;
      if (lead == 0 && tail.size() < 4) continue;  // only continuations so far
      if (lead == 0) break;
      int broken;
      bool cut_short;
      utf8::check(tail, lead - 1, broken, &cut_short);
      return cut_short ? settled(tokens.first(n - 1)) : tokens.size();
    }
    return tokens.size();
  }
};

// A space before every token but the first and those with the prefix, which loses it.
class WordPiece : public Decoder {
 public:
  explicit WordPiece(const Json& json)
      : prefix_(json.at("prefix").as_string()), cleanup_(json.at("cleanup").as_bool()) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0) {
        if (token.starts_with(prefix_))
          token.erase(0, prefix_.size());
        else
          token.insert(0, 1, ' ');
      }
      if (cleanup_) clean_up(token);
    }
  }

 private:
  static void clean_up(std::string& text) {
    static constexpr std::string_view kRules[][2] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    for (const auto& [from, to] : kRules) replace_all(text, from, to);
  }

  std::string prefix_;
  bool cleanup_;
};

// Runs of tokens <0x00> to <0xFF> become the text of those bytes, or one U+FFFD a byte where they
// are no UTF-8.
class ByteFallback : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::vector<std::string> out;
    std::string bytes;
    const auto flush = [&] {
      if (utf8::first_invalid(bytes) == bytes.size()) {
        if (!bytes.empty()) out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), std::string(utf8::kReplacementText));
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const int byte = byte_of(token); byte >= 0) {
        bytes += static_cast<char>(byte);
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(out);
  }

  // A run of bytes is judged as a whole.
  size_t settled(std::span<const std::string> tokens) const override {
    size_t n = tokens.size();
    while (n > 0 && byte_of(tokens[n - 1]) >= 0) --n;
    return n;
  }

 private:
  static int hex(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  }
  static int byte_of(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    const int high = token[3] == '+' ? 0 : hex(token[3]);  // the reference reads a sign, too
    const int low = hex(token[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
  }
};

class Fuse : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens.assign(1, std::move(all));
  }
};

class Sequence : public Decoder {
 public:
  Sequence(const Json& json, std::string_view where) {
    for (const Json& item : json.at("decoders").items())
      steps_.push_back(parse_decoder(item, where));
  }
  void apply(std::vector<std::string>& tokens) const override {
    for (const auto& step : steps_) step->apply(tokens);
  }
  size_t settled(std::span<const std::string> tokens) const override {
    size_t n = tokens.size();
    for (const auto& step : steps_) n = std::min(n, step->settled(tokens));
    return n;
  }

 private:
  std::vector<std::unique_ptr<Decoder>> steps_;
};

}  // namespace

std::unique_ptr<Decoder> parse_decoder(const Json& json, std::string_view where) {
  const std::string& type = json.at("type").as_string();
  if (type == "ByteLevel") return std::make_unique<ByteLevel>();
  if (type == "WordPiece") return std::make_unique<WordPiece>(json);
  if (type == "ByteFallback") return std::make_unique<ByteFallback>();
  if (type == "Fuse") return std::make_unique<Fuse>();
  if (type == "Sequence") return std::make_unique<Sequence>(json, where);
  fail(Code::kUnsupported, "[", where, "] decoder ", type,
       " is not built; there are ByteLevel, WordPiece, ByteFallback, Fuse, Sequence");
}

}  // namespace stemma
