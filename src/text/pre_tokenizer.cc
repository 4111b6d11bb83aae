#include "text/pre_tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "text/metaspace.h"
#include "text/segment.h"
#include "text/splitter.h"

namespace stemma {
namespace {

using unicode::BertClass;

// What becomes of the matches of a pattern.
enum class Behavior : uint8_t {
  removed,
  isolated,
  merged_with_previous,
  merged_with_next,
  contiguous
};

Behavior parse_behavior(const std::string& name, std::string_view where) {
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  fail(Code::kFailed, "[", where, "] split behavior ", name, " is none of Removed, Isolated, ",
       "MergedWithPrevious, MergedWithNext, Contiguous");
}

struct Part {
  uint32_t begin, end;  // bytes of the piece
  bool match;
};

// Joins neighbouring parts as the behaviour says; `parts` cover the piece in order.
void join(std::vector<Part>& parts, Behavior behavior) {
  if (behavior == Behavior::isolated) return;
  if (behavior == Behavior::removed) {
    std::erase_if(parts, [](const Part& part) { return part.match; });
    return;
  }
  std::vector<Part> joined;
  const bool backward = behavior == Behavior::merged_with_next;
  if (backward) std::reverse(parts.begin(), parts.end());
  bool previous = false;
  for (const Part& part : parts) {
    const bool merge =
        !joined.empty() &&
        (behavior == Behavior::contiguous ? part.match == previous : part.match && !previous);
    if (!merge)
      joined.push_back(part);
    else if (backward)
      joined.back().begin = part.begin;
    else
      joined.back().end = part.end;
    previous = part.match;
  }
  if (backward) std::reverse(joined.begin(), joined.end());
  parts = std::move(joined);
}

// Replaces each piece that may be cut by those that `cut(piece, emit)` emits.
template <class Cut>
void cut_pieces(PreTokens& text, Cut cut) {
  std::vector<Piece> pieces;
  pieces.reserve(text.pieces.size() + text.text.size() / 4);
  for (const Piece& piece : text.pieces) {
    if (piece.token >= 0) {
      pieces.push_back(piece);
      continue;
    }
    cut(text.of(piece), [&](size_t begin, size_t end) {
      if (begin < end)
        pieces.push_back(
            {piece.begin + static_cast<uint32_t>(begin), piece.begin + static_cast<uint32_t>(end)});
    });
  }
  text.pieces = std::move(pieces);
}

// Every character for which `is_match` holds is a match of its own.
template <class IsMatch>
void split_characters(PreTokens& text, IsMatch is_match, Behavior behavior) {
  std::vector<Part> parts;
  cut_pieces(text, [&](std::string_view piece, auto emit) {
    parts.clear();
    uint32_t rest = 0;
    for (size_t at = 0; at < piece.size();) {
      const auto begin = static_cast<uint32_t>(at);
      if (!is_match(utf8::next(piece, at))) continue;
      if (rest < begin) parts.push_back({rest, begin, false});
      rest = static_cast<uint32_t>(at);
      parts.push_back({begin, rest, true});
    }
    if (rest < piece.size()) parts.push_back({rest, static_cast<uint32_t>(piece.size()), false});
    join(parts, behavior);
    for (const Part& part : parts) emit(part.begin, part.end);
  });
}

// Whitespace goes, punctuation stands alone.
class BertPreTokenizer : public PreTokenizer {
 public:
  void apply(PreTokens& text) const override {
    cut_pieces(text, [](std::string_view piece, auto emit) {
      size_t word = 0;
      for (size_t at = 0; at < piece.size();) {
        const size_t begin = at;
        const auto p = unicode::properties(utf8::next(piece, at));
        if (p.whitespace()) {
          emit(word, begin);
          word = at;
        } else if (p.bert() == BertClass::punctuation) {
          emit(word, begin);
          emit(begin, at);
          word = at;
        }
      }
      emit(word, piece.size());
    });
  }
};

class WhitespaceSplit : public PreTokenizer {
 public:
  void apply(PreTokens& text) const override {
    split_characters(text, unicode::is_whitespace, Behavior::removed);
  }
};

// \w+|[^\w\s]+ ; whitespace goes.
class Whitespace : public PreTokenizer {
 public:
  void apply(PreTokens& text) const override {
    cut_pieces(text, [](std::string_view piece, auto emit) {
      enum { kSpace, kWord, kOther } kind = kSpace;
      size_t start = 0;
      for (size_t at = 0; at < piece.size();) {
        const size_t begin = at;
        const auto p = unicode::properties(utf8::next(piece, at));
        const auto now = p.word() ? kWord : p.whitespace() ? kSpace : kOther;
        if (now == kind) continue;
        if (kind != kSpace) emit(start, begin);
        kind = now;
        start = begin;
      }
      if (kind != kSpace) emit(start, piece.size());
    });
  }
};

class Punctuation : public PreTokenizer {
 public:
  explicit Punctuation(Behavior behavior) : behavior_(behavior) {}
  void apply(PreTokens& text) const override {
    split_characters(
        text, [](char32_t c) { return unicode::properties(c).bert() == BertClass::punctuation; },
        behavior_);
  }

 private:
  Behavior behavior_;
};

class Digits : public PreTokenizer {
 public:
  explicit Digits(bool individual) : individual_(individual) {}
  void apply(PreTokens& text) const override {
    split_characters(
        text, [](char32_t c) { return unicode::properties(c).numeric(); },
        individual_ ? Behavior::isolated : Behavior::contiguous);
  }

 private:
  bool individual_;
};

class Split : public PreTokenizer {
 public:
  Split(const Json& json, std::string_view where)
      : splitter_(parse_splitter(json.at("pattern"), where)),
        behavior_(parse_behavior(json.at("behavior").as_string(), where)),
        invert_(json.at("invert").as_bool()) {}

  void apply(PreTokens& text) const override {
    std::vector<Part> parts;
    cut_pieces(text, [&](std::string_view piece, auto emit) {
      parts.clear();
      size_t rest = 0;
      splitter_->find_all(piece, [&](size_t begin, size_t end) {
        if (rest < begin) parts.push_back(part(rest, begin, invert_));
        parts.push_back(part(begin, end, !invert_));
        rest = end;
      });
      if (rest < piece.size()) parts.push_back(part(rest, piece.size(), invert_));
      join(parts, behavior_);
      for (const Part& p : parts) emit(p.begin, p.end);
    });
  }

 private:
  static Part part(size_t begin, size_t end, bool match) {
    return {static_cast<uint32_t>(begin), static_cast<uint32_t>(end), match};
  }

  std::unique_ptr<Splitter> splitter_;
  Behavior behavior_;
  bool invert_;
};

// GPT-2's: cut by its regular expression, then let every byte be one character.
class ByteLevel : public PreTokenizer {
 public:
  explicit ByteLevel(const Json& json) : add_prefix_space_(json.at("add_prefix_space").as_bool()) {
    if (json.get("use_regex", true)) splitter_ = gpt2_splitter();
  }

  void apply(PreTokens& text) const override {
    if (add_prefix_space_)
      text.prepend(" ", [&](const Piece& piece) { return text.of(piece)[0] != ' '; });
    if (splitter_ != nullptr) {
      cut_pieces(text, [&](std::string_view piece, auto emit) {
        splitter_->find_all(piece, emit);  // its matches leave no gaps
      });
    }
    text.byte_level = true;
  }

 private:
  bool add_prefix_space_;
  std::unique_ptr<Splitter> splitter_;
};

// Writes a visible character for the space and cuts before each.
class MetaspacePreTokenizer : public PreTokenizer {
 public:
  MetaspacePreTokenizer(const Json& json, std::string_view where)
      : options_(parse_metaspace(json, where)), replacement_(utf8::encode(options_.replacement)) {}

  bool asks_for_origins() const override { return options_.prepend == Metaspace::Prepend::first; }

  void apply(PreTokens& text) const override {
    using Prepend = Metaspace::Prepend;
    text.replace_spaces(replacement_);
    if (options_.prepend != Prepend::never) {
      text.prepend(replacement_, [&](const Piece& piece) {
        return !text.of(piece).starts_with(replacement_) &&
               (options_.prepend == Prepend::always ||
                text.original(piece.begin, piece.begin + 1).begin == 0);
      });
    }
    if (!options_.split) return;
    cut_pieces(text, [&](std::string_view piece, auto emit) {
      size_t begin = 0;
      for (size_t at; (at = piece.find(replacement_, begin + 1)) != piece.npos; begin = at)
        emit(begin, at);
      emit(begin, piece.size());
    });
  }

 private:
  Metaspace options_;
  std::string replacement_;
};

class CharDelimiterSplit : public PreTokenizer {
 public:
  explicit CharDelimiterSplit(char32_t delimiter) : delimiter_(delimiter) {}
  void apply(PreTokens& text) const override {
    split_characters(
        text, [this](char32_t c) { return c == delimiter_; }, Behavior::removed);
  }

 private:
  char32_t delimiter_;
};

class FixedLength : public PreTokenizer {
 public:
  FixedLength(int64_t length, std::string_view where) : length_(length) {
    check(length > 0, "[", where, "] FixedLength has the length ", length);
  }
  void apply(PreTokens& text) const override {
    cut_pieces(text, [this](std::string_view piece, auto emit) {
      size_t begin = 0;
      for (size_t at = 0; at < piece.size(); begin = at) {
        for (int64_t i = 0; i < length_ && at < piece.size(); ++i) utf8::next(piece, at);
        emit(begin, at);
      }
    });
  }

 private:
  int64_t length_;
};

// Cuts where the script changes; Hiragana and Katakana count as Han. Characters without a script
// stay with what is before them, and go if nothing is.
class UnicodeScripts : public PreTokenizer {
 public:
  void apply(PreTokens& text) const override {
    cut_pieces(text, [](std::string_view piece, auto emit) {
      size_t start = 0;
      uint8_t last = 0;
      for (size_t at = 0; at < piece.size();) {
        const size_t begin = at;
        const char32_t c = utf8::next(piece, at);
        const uint8_t script = c == ' ' ? 0 : unicode::script(c);
        if (script == 0 || script == last) continue;
        if (last != 0) emit(start, begin);
        start = begin;
        last = script;
      }
      if (last != 0) emit(start, piece.size());
    });
  }
};

class Sequence : public PreTokenizer {
 public:
  Sequence(const Json& json, std::string_view where) {
    for (const Json& item : json.at("pretokenizers").items())
      steps_.push_back(parse_pre_tokenizer(item, where));
  }
  bool asks_for_origins() const override {
    return std::ranges::any_of(steps_, [](const auto& step) { return step->asks_for_origins(); });
  }
  void apply(PreTokens& text) const override {
    for (const auto& step : steps_) {
      text.write_image();  // a later step must see what a byte-level one made
      step->apply(text);
    }
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

}  // namespace

std::unique_ptr<PreTokenizer> parse_pre_tokenizer(const Json& json, std::string_view where) {
  const std::string& type = json.at("type").as_string();
  if (type == "BertPreTokenizer") return std::make_unique<BertPreTokenizer>();
  if (type == "ByteLevel") return std::make_unique<ByteLevel>(json);
  if (type == "Split") return std::make_unique<Split>(json, where);
  if (type == "Sequence") return std::make_unique<Sequence>(json, where);
  if (type == "Whitespace") return std::make_unique<Whitespace>();
  if (type == "WhitespaceSplit") return std::make_unique<WhitespaceSplit>();
  if (type == "Digits") return std::make_unique<Digits>(json.get("individual_digits", false));
  if (type == "Punctuation")
    return std::make_unique<Punctuation>(parse_behavior(json.get("behavior", "Isolated"), where));
  if (type == "Metaspace") return std::make_unique<MetaspacePreTokenizer>(json, where);
  if (type == "CharDelimiterSplit")
    return std::make_unique<CharDelimiterSplit>(parse_character(json, "delimiter", where));
  if (type == "UnicodeScripts") return std::make_unique<UnicodeScripts>();
  if (type == "FixedLength") return std::make_unique<FixedLength>(json.get("length", 5), where);
  fail(Code::kUnsupported, "[", where, "] pre_tokenizer ", type,
       " is not built; there are BertPreTokenizer, ByteLevel, Split, Whitespace, WhitespaceSplit, "
       "Digits, Punctuation, Metaspace, CharDelimiterSplit, UnicodeScripts, FixedLength, Sequence");
}

}  // namespace stemma
