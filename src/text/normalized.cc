#include "text/normalized.h"

namespace stemma {

TextSpan Rewriter::span_at(size_t byte) const {
  if (!target_.align_.empty()) return target_.align_[byte];
  const auto begin = static_cast<uint32_t>(target_.base_ + byte);
  return {begin, begin + utf8::length(target_.text_[byte])};
}

void Rewriter::start_alignment() {
  if (!target_.tracked_) return;
  aligned_ = true;
  align_.reserve(target_.text_.size() + 16);
  // So far the new text is a copy, as far as lengths go.
  for (size_t i = 0; i < text_.size();) {
    const TextSpan span = span_at(i);
    const int n = utf8::length(target_.text_[i]);
    align_.insert(align_.end(), n, span);
    i += n;
  }
}

void Rewriter::copy(size_t bytes) {
  if (aligned_) {
    for (size_t i = read_; i < read_ + bytes;) {
      const int n = utf8::length(target_.text_[i]);
      align_.insert(align_.end(), n, span_at(i));
      i += n;
    }
  }
  text_.append(target_.text_, read_, bytes);
  read_ += bytes;
}

void Rewriter::replace(char32_t c) {
  const int old_length = utf8::length(target_.text_[read_]), new_length = utf8::encoded_length(c);
  if (!aligned_ && old_length != new_length) start_alignment();
  if (aligned_) align_.insert(align_.end(), new_length, span_at(read_));
  utf8::append(text_, c);
  read_ += old_length;
}

void Rewriter::insert(char32_t c) {
  if (!aligned_) start_alignment();
  if (aligned_) {
    TextSpan span{target_.base_, target_.base_};
    if (read_ > 0) {
      size_t at = read_;
      utf8::previous(target_.text_, at);
      span = span_at(at);
    }
    align_.insert(align_.end(), utf8::encoded_length(c), span);
  }
  utf8::append(text_, c);
}

void Rewriter::remove() {
  if (!aligned_) start_alignment();
  read_ += utf8::length(target_.text_[read_]);
}

void Rewriter::finish() {
  target_.text_ = std::move(text_);
  target_.align_ = std::move(align_);
}

void Normalized::transform(std::span<const unicode::Edit> edits) {
  Rewriter writer(*this);
  for (const auto& edit : edits) {
    if (edit.change > 0) {
      writer.insert(edit.c);
      continue;
    }
    writer.replace(edit.c);
    for (int i = edit.change; i < 0; ++i) writer.remove();
  }
  writer.finish();
}

}  // namespace stemma
