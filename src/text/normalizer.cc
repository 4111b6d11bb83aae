#include "text/normalizer.h"

#include <vector>

#include "base/error.h"

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
      if (!(composing ? p.nfc_inert() : p.nfd_inert()) || (compatible && p.decomposes()))
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
  if (type == "Sequence") return std::make_unique<Sequence>(json, where);
  fail(Code::kUnsupported, "[", where, "] normalizer ", type,
       " is not built; there are BertNormalizer, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, "
       "Sequence");
}

}  // namespace stemma
