// Text under normalisation, with its alignment to the text it came from.
// Every byte of the normalised text knows the span of original bytes it stands for; offsets of
// tokens are the spans of their first and last byte. While nothing moved, no alignment is kept.
// Thread safety: none; these are working buffers of one call.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/unicode.h"
#include "text/utf8.h"

namespace stemma {

struct TextSpan {
  uint32_t begin, end;  // bytes
};

class Normalized {
 public:
  // `text` lies at byte `base` of the original.
  // Untracked text keeps no alignment: nobody will ask where it came from.
  Normalized(std::string_view text, uint32_t base, bool tracked = true)
      : text_(text), base_(base), tracked_(tracked) {}

  std::string_view text() const { return text_; }
  bool is_identity() const { return align_.empty(); }
  // One span for each byte; empty while the text is the original, byte for byte.
  const std::vector<TextSpan>& align() const { return align_; }
  uint32_t base() const { return base_; }

  // Replaces text and alignment by what the edits say.
  void transform(std::span<const unicode::Edit> edits);

 private:
  friend class Rewriter;
  std::string text_;
  std::vector<TextSpan> align_;
  uint32_t base_;
  bool tracked_;
};

// Writes a new text while reading the old one from left to right:
//   Rewriter w(text);  while (!w.at_end()) { c = w.peek(); w.replace(lower(c)); }  w.finish();
// Alignment follows the reference: a replaced character keeps its span, an inserted one takes the
// span of the character last read, a removed one leaves no trace.
class Rewriter {
 public:
  explicit Rewriter(Normalized& target) : target_(target), aligned_(!target.align_.empty()) {
    text_.reserve(target.text_.size());
  }

  bool at_end() const { return read_ == target_.text_.size(); }
  char32_t peek() const { return utf8::peek(target_.text_, read_); }
  std::string_view rest() const { return std::string_view(target_.text_).substr(read_); }

  void copy(size_t bytes);      // whole characters, unchanged
  void replace(char32_t c);     // the next character by c
  void replace_ascii(char c) {  // the same where both are ASCII
    if (aligned_) align_.push_back(span_at(read_));
    text_ += c;
    ++read_;
  }
  void insert(char32_t c);  // c behind the character last read
  void remove();            // the next character
  void finish();

 private:
  TextSpan span_at(size_t byte) const;  // of the old character at `byte`
  void start_alignment();

  Normalized& target_;
  bool aligned_;  // align_ is kept: something moved, now or before
  size_t read_ = 0;
  std::string text_;
  std::vector<TextSpan> align_;
};

}  // namespace stemma
