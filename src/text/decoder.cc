#include "text/decoder.h"

#include <algorithm>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/metaspace.h"
#include "text/splitter.h"
#include "text/utf8.h"

namespace stemma {
namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size()) {
    text.replace(at, from.size(), to);
    if (!from.empty()) continue;  // an empty pattern is found around every character
    if (at + to.size() == text.size()) break;
    at += utf8::length(text[at + to.size()]);
  }
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

  static void clean_up(std::string& text) {
    static constexpr std::string_view kRules[][2] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    for (const auto& [from, to] : kRules) replace_all(text, from, to);
  }

 private:
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

// The visible character back to a space; none at the very beginning, where it was put.
class MetaspaceDecoder : public Decoder {
 public:
  MetaspaceDecoder(const Json& json, std::string_view where)
      : options_(parse_metaspace(json, where)), replacement_(utf8::encode(options_.replacement)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      const bool drop = i == 0 && options_.prepend != Metaspace::Prepend::never;
      replace_all(tokens[i], replacement_, drop ? "" : " ");
    }
  }

 private:
  Metaspace options_;
  std::string replacement_;
};

// The suffix of a word's last token becomes a space, at the end of all nothing.
class BpeSuffix : public Decoder {
 public:
  explicit BpeSuffix(std::string suffix) : suffix_(std::move(suffix)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i)
      replace_all(tokens[i], suffix_, i + 1 == tokens.size() ? "" : " ");
  }
  // Text is certain behind a token that has the suffix nowhere but at its end.
  size_t settled(std::span<const std::string> tokens) const override {
    if (suffix_.empty()) return 0;
    size_t n = tokens.size();
    while (n > 0 && tokens[n - 1].find(suffix_) < tokens[n - 1].size() - suffix_.size()) --n;
    return n;
  }

 private:
  std::string suffix_;
};

// Of connectionist temporal classification: equal neighbours are one, padding is nothing.
class Ctc : public Decoder {
 public:
  explicit Ctc(const Json& json)
      : pad_(json.get("pad_token", "<pad>")),
        delimiter_(json.get("word_delimiter_token", "|")),
        cleanup_(json.get("cleanup", true)) {}
  void apply(std::vector<std::string>& tokens) const override {
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    for (std::string& token : tokens) {
      replace_all(token, pad_, "");
      if (!cleanup_) continue;
      WordPiece::clean_up(token);
      replace_all(token, delimiter_, " ");
    }
    std::erase_if(tokens, [](const std::string& token) { return token.empty(); });
  }

 private:
  std::string pad_, delimiter_;
  bool cleanup_;
};

// Takes up to `start` and `stop` of a character off the ends of each token.
class Strip : public Decoder {
 public:
  Strip(const Json& json, std::string_view where)
      : content_(utf8::encode(parse_character(json, "content", where))),
        start_(json.at("start").as_int()),
        stop_(json.at("stop").as_int()) {
    check(start_ >= 0 && stop_ >= 0, "[", where, "] Strip has a negative count");
  }
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string_view rest = token;
      for (int64_t i = 0; i < start_ && rest.starts_with(content_); ++i)
        rest.remove_prefix(content_.size());
      for (int64_t i = 0; i < stop_ && rest.ends_with(content_); ++i)
        rest.remove_suffix(content_.size());
      token = std::string(rest);
    }
  }
  size_t settled(std::span<const std::string> tokens) const override {
    return stop_ == 0 ? tokens.size() : 0;
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

// Every match of a pattern in a token by a text.
class Replace : public Decoder {
 public:
  Replace(const Json& json, std::string_view where)
      : pattern_(parse_splitter(json.at("pattern"), where)),
        content_(json.at("content").as_string()) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string out;
      size_t at = 0;
      if (!token.empty()) {
        pattern_->find_all(token, [&](size_t begin, size_t end) {
          out.append(token, at, begin - at).append(content_);
          at = end;
        });
      }
      token = out.append(token, at);
    }
  }

 private:
  std::unique_ptr<Splitter> pattern_;
  std::string content_;
};

class Sequence : public Decoder {
 public:
  Sequence(const Json& json, std::string_view where) {
    bool fused = false;
    for (const Json& item : json.at("decoders").items()) {
      steps_.push_back(parse_decoder(item, where));
      const std::string& type = item.at("type").as_string();
      looks_ahead_ |= fused && type == "Replace";
      fused |= type == "Fuse" || type == "ByteLevel";
    }
  }
  void apply(std::vector<std::string>& tokens) const override {
    for (const auto& step : steps_) step->apply(tokens);
  }
  size_t settled(std::span<const std::string> tokens) const override {
    size_t n = looks_ahead_ ? 0 : tokens.size();
    for (const auto& step : steps_) n = std::min(n, step->settled(tokens));
    return n;
  }

 private:
  std::vector<std::unique_ptr<Decoder>> steps_;
  bool looks_ahead_ = false;  // a pattern is looked for in the text of all tokens
};

}  // namespace

std::unique_ptr<Decoder> parse_decoder(const Json& json, std::string_view where) {
  const std::string& type = json.at("type").as_string();
  if (type == "ByteLevel") return std::make_unique<ByteLevel>();
  if (type == "WordPiece") return std::make_unique<WordPiece>(json);
  if (type == "ByteFallback") return std::make_unique<ByteFallback>();
  if (type == "Fuse") return std::make_unique<Fuse>();
  if (type == "Sequence") return std::make_unique<Sequence>(json, where);
  if (type == "Metaspace") return std::make_unique<MetaspaceDecoder>(json, where);
  if (type == "BPEDecoder") return std::make_unique<BpeSuffix>(json.get("suffix", "</w>"));
  if (type == "CTC") return std::make_unique<Ctc>(json);
  if (type == "Strip") return std::make_unique<Strip>(json, where);
  if (type == "Replace") return std::make_unique<Replace>(json, where);
  fail(Code::kUnsupported, "[", where, "] decoder ", type,
       " is not built; there are ByteLevel, WordPiece, ByteFallback, Fuse, Metaspace, BPEDecoder, "
       "CTC, Strip, Replace, Sequence");
}

}  // namespace stemma
