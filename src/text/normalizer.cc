#include "text/normalizer.h"

#include <bitset>
#include <vector>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/charsmap.h"
#include "text/segment.h"
#include "text/splitter.h"

namespace stemma {
namespace {

// Bytes of the ASCII characters that `text` begins with.
size_t ascii_prefix(std::string_view text) {
  size_t n = 0;
  while (n < text.size() && static_cast<uint8_t>(text[n]) < 0x80) ++n;
  return n;
}

// Copies ASCII in runs and gives every other character to `step`, which must read it.
template <class Step>
void rewrite_non_ascii(Normalized& text, Step step) {
  Rewriter writer(text);
  while (!writer.at_end()) {
    if (const size_t n = ascii_prefix(writer.rest()))
      writer.copy(n);
    else
      step(writer, writer.peek());
  }
  writer.finish();
}

void to_lower(Normalized& text) {
  Rewriter writer(text);
  while (!writer.at_end()) {
    const char32_t c = writer.peek();
    if (c == unicode::kDottedCapitalI) {
      writer.replace('i');
      writer.insert(0x307);
    } else {
      writer.replace(unicode::lower(c));
    }
  }
  writer.finish();
}

class UnicodeForm : public Normalizer {
 public:
  explicit UnicodeForm(unicode::Form form) : form_(form) {}

  void apply(Normalized& text) const override {
    if (!leaves_alone(text.text())) text.transform(unicode::normalize(text.text(), form_));
  }

  bool leaves_alone(std::string_view text) const override {
    for (size_t at = 0; at < text.size();) {
      const char32_t c = utf8::next(text, at);
      if (c < 0x80) continue;
      const auto p = unicode::properties(c);
      const bool composing = form_ == unicode::Form::nfc || form_ == unicode::Form::nfkc;
      const bool compatible = form_ == unicode::Form::nfkd || form_ == unicode::Form::nfkc;
      if (!(composing ? unicode::keeps_nfc(c) : p.nfd_inert()) || (compatible && p.decomposes()))
        return false;
    }
    return true;
  }

 private:
  unicode::Form form_;
};

// BERT's: drop controls and turn whitespace to spaces, put spaces around Chinese characters, strip
// accents (NFD without nonspacing marks), lower case; each on its own switch.
class Bert : public Normalizer {
 public:
  Bert(const Json& json)
      : clean_(json.at("clean_text").as_bool()),
        han_(json.at("handle_chinese_chars").as_bool()),
        lower_(json.at("lowercase").as_bool()),
        strip_(json.get("strip_accents", lower_)) {}

  void apply(Normalized& text) const override {
    if (utf8::is_ascii(text.text())) return apply_ascii(text);
    if (clean_) clean(text);
    if (han_) space_han(text);
    if (strip_) strip_accents(text);
    if (lower_) to_lower(text);
  }

 private:
  void apply_ascii(Normalized& text) const {
    Rewriter writer(text);
    while (!writer.at_end()) {
      const char c = writer.rest()[0];
      if (clean_ && (c < 0x20 || c == 0x7F)) {
        if (c == '\t' || c == '\n' || c == '\r')
          writer.replace_ascii(' ');
        else
          writer.remove();
      } else {
        writer.replace_ascii(lower_ && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
      }
    }
    writer.finish();
  }

  static void clean(Normalized& text) {
    Rewriter writer(text);
    while (!writer.at_end()) {
      const char32_t c = writer.peek();
      const auto p = unicode::properties(c);
      if (p.bert() == unicode::BertClass::control)
        writer.remove();
      else
        writer.replace(p.whitespace() ? U' ' : c);
    }
    writer.finish();
  }

  static void space_han(Normalized& text) {
    rewrite_non_ascii(text, [](Rewriter& writer, char32_t c) {
      if (!unicode::properties(c).han()) return writer.replace(c);
      writer.replace(' ');
      writer.insert(c);
      writer.insert(' ');
    });
  }

  static void strip_accents(Normalized& text) {
    UnicodeForm(unicode::Form::nfd).apply(text);
    rewrite_non_ascii(text, [](Rewriter& writer, char32_t c) {
      if (unicode::properties(c).bert() == unicode::BertClass::nonspacing_mark)
        writer.remove();
      else
        writer.replace(c);
    });
  }

  bool clean_, han_, lower_, strip_;
};

class Lowercase : public Normalizer {
 public:
  void apply(Normalized& text) const override { to_lower(text); }
};

class StripAccents : public Normalizer {
 public:
  void apply(Normalized& text) const override {
    rewrite_non_ascii(text, [](Rewriter& writer, char32_t c) {
      if (unicode::properties(c).mark())
        writer.remove();
      else
        writer.replace(c);
    });
  }
};

// Takes whitespace off the ends.
class Strip : public Normalizer {
 public:
  explicit Strip(const Json& json)
      : left_(json.at("strip_left").as_bool()), right_(json.at("strip_right").as_bool()) {}

  void apply(Normalized& text) const override {
    const std::string_view view = text.text();
    size_t begin = 0, end = view.size();
    for (size_t at = 0; left_ && at < end; begin = at)
      if (!unicode::is_whitespace(utf8::next(view, at))) break;
    for (size_t at = end; right_ && at > begin; end = at)
      if (!unicode::is_whitespace(utf8::previous(view, at))) break;
    if (begin == 0 && end == view.size()) return;
    Rewriter writer(text);
    for (size_t at = 0; at < begin; utf8::next(view, at)) writer.remove();
    writer.copy(end - begin);
    while (!writer.at_end()) writer.remove();
    writer.finish();
  }

 private:
  bool left_, right_;
};

// What sentencepiece's rule "nmt" does: controls go, other blanks become spaces.
class Nmt : public Normalizer {
 public:
  void apply(Normalized& text) const override {
    Rewriter writer(text);
    while (!writer.at_end()) {
      const char32_t c = writer.peek();
      if ((c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
          c == 0x9F)
        writer.remove();
      else
        writer.replace(is_blank(c) ? U' ' : c);
    }
    writer.finish();
  }

 private:
  static bool is_blank(char32_t c) {
    return c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
           (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
           c == 0xFEFF || c == 0xFFFD;
  }
};

// A character map of sentencepiece, as the reference reads it: a grapheme cluster of less than 6
// bytes is replaced as a whole by what its shortest beginning stands for; characters of longer ones
// are looked up one by one.
class Precompiled : public Normalizer {
 public:
  Precompiled(const Json& json, std::string_view where)
      : map_(CharsMap::from_base64(json.at("precompiled_charsmap").as_string(), where)) {
    for (char32_t c = 0; c < kKnown; ++c) {
      const bool mapped = map_.find(utf8::encode(c)).has_value();
      if (c < 128) plain_[c] = !mapped;
      settled_[c] = !mapped && unicode::stands_alone(c);
    }
  }

  void apply(Normalized& text) const override {
    const std::string_view view = text.text();
    std::vector<unicode::Edit> edits;
    edits.reserve(view.size());
    bool modified = false;
    const auto replace = [&](std::string_view part, size_t characters) {
      const auto found = map_.find(part);
      if (!found) return false;
      modified = true;
      replace_by(edits, static_cast<int>(characters), *found);
      return true;
    };
    for (size_t at = 0, end; at < view.size(); at = end) {
      if (const size_t run = settled_run(view, at); run > at) {
        for (end = at; end < run;) edits.push_back({utf8::next(view, end), 0});
        continue;
      }
      end = is_alone(view, at) ? at + 1 : unicode::grapheme_end(view, at);
      const std::string_view cluster = view.substr(at, end - at);
      if (cluster.size() < 6 && replace(cluster, utf8::count(cluster))) continue;
      for (size_t i = 0, next = 0; i < cluster.size(); i = next) {
        const char32_t c = utf8::next(cluster, next);
        if (!replace(cluster.substr(i, next - i), 1)) edits.push_back({c, 0});
      }
    }
    if (modified) text.transform(edits);
  }

  bool leaves_alone(std::string_view text) const override {
    for (size_t at = 0; at < text.size();) {
      const char32_t c = utf8::next(text, at);
      if (c < 128 ? !plain_[c] : !settled(c)) return false;
    }
    return true;
  }

 private:
  bool settled(char32_t c) const { return c < kKnown && settled_[c]; }

  // The end of the run of settled characters from `at`, less the last one where others follow,
  // which may join it.
  size_t settled_run(std::string_view text, size_t at) const {
    for (size_t end = at, before = at; end < text.size();) {
      const size_t begin = end;
      if (!settled(utf8::next(text, end))) return before;
      before = begin;
    }
    return text.size();
  }

  // An ASCII character before another one is a cluster of its own, CR LF excepted.
  static bool is_alone(std::string_view text, size_t at) {
    return static_cast<uint8_t>(text[at]) < 0x80 && text[at] != '\r' &&
           (at + 1 == text.size() || static_cast<uint8_t>(text[at + 1]) < 0x80);
  }

  // The reference's bookkeeping, on which offsets depend: the last characters of a longer text
  // count as inserted; behind a shorter one its last character (or the one before it) swallows.
  static void replace_by(std::vector<unicode::Edit>& edits, int characters, std::string_view text) {
    int added = -characters;
    for (size_t at = 0; at < text.size(); ++added) edits.push_back({utf8::next(text, at), 0});
    for (int i = 1; i <= added; ++i) edits[edits.size() - i].change = 1;
    if (added < 0 && !edits.empty()) edits.back().change += added;
  }

  static constexpr char32_t kKnown = 0x10000;
  CharsMap map_;
  std::bitset<128> plain_;  // not in the map
  // Not in the map, and between others of this kind clusters of their own.
  std::bitset<kKnown> settled_;
};

// Every match of a pattern by a text.
class Replace : public Normalizer {
 public:
  Replace(const Json& json, std::string_view where)
      : pattern_(parse_splitter(json.at("pattern"), where)),
        content_(json.at("content").as_string()) {}

  void apply(Normalized& text) const override {
    if (text.text().empty()) return;
    Rewriter writer(text);
    size_t at = 0;
    pattern_->find_all(text.text(), [&](size_t begin, size_t end) {
      writer.copy(begin - at);
      for (at = begin; at < end; at += utf8::length(text.text()[at])) writer.remove();
      for (size_t i = 0; i < content_.size();) writer.insert(utf8::next(content_, i));
    });
    writer.copy(text.text().size() - at);
    writer.finish();
  }

  bool leaves_alone(std::string_view text) const override {
    bool found = false;
    if (!text.empty()) pattern_->find_all(text, [&](size_t, size_t) { found = true; });
    return !found;
  }

 private:
  std::unique_ptr<Splitter> pattern_;
  std::string content_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(const Json& json) : prefix_(json.at("prepend").as_string()) {}

  void apply(Normalized& text) const override {
    if (text.text().empty()) return;
    Rewriter writer(text);
    const char32_t first = writer.peek();
    if (prefix_.empty()) {  // the reference forgets where the first character came from
      writer.insert(first);
      writer.remove();
    } else {
      size_t at = 0;
      writer.replace(utf8::next(prefix_, at));
      while (at < prefix_.size()) writer.insert(utf8::next(prefix_, at));
      writer.insert(first);
    }
    writer.copy(writer.rest().size());
    writer.finish();
  }

 private:
  std::string prefix_;
};

// Every byte as one printable character.
class ByteLevel : public Normalizer {
 public:
  void apply(Normalized& text) const override {
    Rewriter writer(text);
    while (!writer.at_end()) {
      const std::string bytes = utf8::encode(writer.peek());
      writer.replace(byte_level_char(static_cast<uint8_t>(bytes[0])));
      for (size_t i = 1; i < bytes.size(); ++i)
        writer.insert(byte_level_char(static_cast<uint8_t>(bytes[i])));
    }
    writer.finish();
  }
};

class Sequence : public Normalizer {
 public:
  Sequence(const Json& json, std::string_view where) {
    for (const Json& item : json.at("normalizers").items())
      steps_.push_back(parse_normalizer(item, where));
  }
  void apply(Normalized& text) const override {
    for (const auto& step : steps_) step->apply(text);
  }
  bool leaves_alone(std::string_view text) const override {
    for (const auto& step : steps_)
      if (!step->leaves_alone(text)) return false;
    return true;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

}  // namespace

std::unique_ptr<Normalizer> parse_normalizer(const Json& json, std::string_view where) {
  const std::string& type = json.at("type").as_string();
  if (type == "BertNormalizer") return std::make_unique<Bert>(json);
  if (type == "NFC") return std::make_unique<UnicodeForm>(unicode::Form::nfc);
  if (type == "NFD") return std::make_unique<UnicodeForm>(unicode::Form::nfd);
  if (type == "NFKC") return std::make_unique<UnicodeForm>(unicode::Form::nfkc);
  if (type == "NFKD") return std::make_unique<UnicodeForm>(unicode::Form::nfkd);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "Strip") return std::make_unique<Strip>(json);
  if (type == "Nmt") return std::make_unique<Nmt>();
  if (type == "Precompiled") return std::make_unique<Precompiled>(json, where);
  if (type == "Replace") return std::make_unique<Replace>(json, where);
  if (type == "Prepend") return std::make_unique<Prepend>(json);
  if (type == "ByteLevel") return std::make_unique<ByteLevel>();
  if (type == "Sequence") return std::make_unique<Sequence>(json, where);
  fail(Code::kUnsupported, "[", where, "] normalizer ", type,
       " is not built; there are BertNormalizer, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, "
       "Strip, Nmt, Precompiled, Replace, Prepend, ByteLevel, Sequence");
}

}  // namespace stemma
