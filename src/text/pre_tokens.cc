#include "text/pre_tokens.h"

#include "text/byte_level.h"

namespace stemma {

TextSpan PreTokens::original(uint32_t begin, uint32_t end) const {
  if (aligned) return {align[begin].begin, align[end - 1].end};
  while (begin > 0 && utf8::is_continuation(text[begin])) --begin;
  while (end < text.size() && utf8::is_continuation(text[end])) ++end;
  return {begin, end};
}

void PreTokens::append(const Normalized& part) {
  if (!tracked) {
    owned += part.text();
    return;
  }
  if (!aligned && !(part.is_identity() && part.base() == owned.size())) {
    text = owned;  // what was tacit so far
    align.reserve(owned.size() + part.text().size());
    for (uint32_t i = 0; i < owned.size(); ++i) align.push_back(original(i, i + 1));
    aligned = true;
  }
  owned += part.text();
  if (!aligned) return;
  if (!part.is_identity()) {
    align.insert(align.end(), part.align().begin(), part.align().end());
    return;
  }
  for (size_t at = 0; at < part.text().size();) {
    const int n = utf8::length(part.text()[at]);
    const auto begin = static_cast<uint32_t>(part.base() + at);
    align.insert(align.end(), n, {begin, begin + n});
    at += n;
  }
}

// Copies all pieces to a new text; `write` appends the text of one and its alignment.
template <class Write>
void PreTokens::rewrite(Write write) {
  std::string new_text;
  std::vector<TextSpan> new_align;
  new_text.reserve(text.size() + pieces.size());
  if (tracked) new_align.reserve(text.size() + pieces.size());
  for (Piece& piece : pieces) {
    const auto begin = static_cast<uint32_t>(new_text.size());
    write(piece, new_text, new_align);
    piece = {begin, static_cast<uint32_t>(new_text.size()), piece.token};
  }
  owned = std::move(new_text);
  align = std::move(new_align);
  aligned = tracked;
  text = owned;
}

void PreTokens::write_image() {
  if (!byte_level) return;
  byte_level = false;
  rewrite([this](const Piece& piece, std::string& out, std::vector<TextSpan>& spans) {
    for (uint32_t i = piece.begin; i < piece.end; ++i) {
      const size_t before = out.size();
      if (piece.token < 0)
        out += byte_level_text(static_cast<uint8_t>(text[i]));
      else
        out += text[i];
      if (tracked) spans.insert(spans.end(), out.size() - before, original(i, i + 1));
    }
  });
}

void PreTokens::prepend(std::string_view prefix, const std::function<bool(const Piece&)>& wanted) {
  bool any = false;
  for (const Piece& piece : pieces) any |= piece.token < 0 && wanted(piece);
  if (!any) return;
  rewrite([&](const Piece& piece, std::string& out, std::vector<TextSpan>& spans) {
    if (piece.token < 0 && wanted(piece)) {
      out += prefix;
      if (tracked) spans.insert(spans.end(), prefix.size(), original(piece.begin, piece.begin + 1));
    }
    out += of(piece);
    if (!tracked) return;
    for (uint32_t i = piece.begin; i < piece.end; ++i) spans.push_back(original(i, i + 1));
  });
}

void PreTokens::replace_spaces(std::string_view replacement) {
  if (text.find(' ') == text.npos) return;
  rewrite([&](const Piece& piece, std::string& out, std::vector<TextSpan>& spans) {
    for (uint32_t i = piece.begin; i < piece.end; ++i) {
      const bool space = text[i] == ' ' && piece.token < 0;
      const size_t before = out.size();
      if (space)
        out += replacement;
      else
        out += text[i];
      if (tracked) spans.insert(spans.end(), out.size() - before, original(i, i + 1));
    }
  });
}

}  // namespace stemma
