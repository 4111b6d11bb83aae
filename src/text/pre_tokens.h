// What flows from the normaliser to the model: one text, cut into pieces.
// Thread safety: none; this is the working buffer of one call.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "text/normalized.h"

namespace stemma {

struct Piece {
  uint32_t begin, end;  // bytes of PreTokens::text
  int32_t token = -1;   // id, for a piece that is an added token and no longer to be cut
};

struct PreTokens {
  std::string_view text;  // of all pieces, in order; either `owned` or the caller's text
  std::string owned;
  bool tracked = true;          // otherwise there is no alignment, and original() must not be asked
  bool aligned = false;         // otherwise every byte stands where it stood in the original
  std::vector<TextSpan> align;  // if aligned: the original bytes of each byte
  std::vector<Piece> pieces;
  // The text stands for its byte-level image, in which each byte is one character (byte_level.h).
  // Models that can read the bytes themselves do; for all others image() writes it out.
  bool byte_level = false;

  PreTokens() = default;
  PreTokens(const PreTokens&) = delete;
  PreTokens& operator=(const PreTokens&) = delete;

  // Empty again, with its memory kept.
  void clear() {
    text = {};
    owned.clear();
    align.clear();
    pieces.clear();
    aligned = byte_level = false;
  }

  std::string_view of(const Piece& piece) const {
    return text.substr(piece.begin, piece.end - piece.begin);
  }
  // Original bytes of text[begin, end), not empty; halves of characters count as whole ones.
  TextSpan original(uint32_t begin, uint32_t end) const;

  // Appends to `owned`, and to `align` from the first part on that moved.
  void append(const Normalized& part);

  void write_image();
  // Puts `prefix` before each piece that is no added token and for which `wanted` holds.
  void prepend(std::string_view prefix, const std::function<bool(const Piece&)>& wanted);
  // Writes `text` for every space of pieces that are no added tokens.
  void replace_spaces(std::string_view text);

 private:
  template <class Write>
  void rewrite(Write write);
};

}  // namespace stemma
