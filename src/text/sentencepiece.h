// The files of sentencepiece (.model): its message ModelProto in protobuf's wire format, as far as
// a tokenizer needs it.
// Errors: Code::kFailed for a malformed file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stemma {

struct SentencePieceModel {
  enum PieceType { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };
  struct Piece {
    std::string text;
    float score = 0;
    int type = kNormal;
  };
  enum Kind { kUnigram = 1, kBpe };

  std::vector<Piece> pieces;
  int kind = kUnigram;
  bool byte_fallback = false;
  int32_t unk_id = 0, bos_id = 1, eos_id = 2;  // negative: it has none
  std::string charsmap;                        // empty where there is none
};

SentencePieceModel parse_sentencepiece(std::string_view bytes, std::string_view where);

}  // namespace stemma
