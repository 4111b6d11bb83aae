#include "text/sentencepiece.h"

#include <bit>

#include "base/error.h"
#include "text/utf8.h"

namespace stemma {
namespace {

// The fields of one message, in order.
class MessageReader {
 public:
  MessageReader(std::string_view bytes, std::string_view where) : rest_(bytes), where_(where) {}

  bool next() {
    if (rest_.empty()) return false;
    const uint64_t tag = varint();
    field_ = tag >> 3;
    switch (tag & 7) {
      case 0:
        number_ = varint();
        return true;
      case 1:
        number_ = fixed(8);
        return true;
      case 2:
        text_ = take(varint());
        return true;
      case 5:
        number_ = fixed(4);
        return true;
      default:
        fail(Code::kFailed, "[", where_, "] is no sentencepiece model: wire type ", tag & 7);
    }
  }
  uint64_t field() const { return field_; }
  uint64_t number() const { return number_; }
  std::string_view text() const { return text_; }

 private:
  std::string_view take(uint64_t size) {
    check(size <= rest_.size(), "[", where_, "] is cut short, or no sentencepiece model");
    const std::string_view out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return out;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(1)[0]);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    fail(Code::kFailed, "[", where_, "] is no sentencepiece model: a number is too long");
  }
  uint64_t fixed(int size) {
    const std::string_view bytes = take(size);
    uint64_t value = 0;
    for (int i = 0; i < size; ++i) value |= uint64_t{static_cast<uint8_t>(bytes[i])} << 8 * i;
    return value;
  }

  std::string_view rest_, where_;
  uint64_t field_ = 0, number_ = 0;
  std::string_view text_;
};

}  // namespace

SentencePieceModel parse_sentencepiece(std::string_view bytes, std::string_view where) {
  SentencePieceModel model;
  MessageReader top(bytes, where);
  while (top.next()) {
    MessageReader inner(top.text(), where);
    if (top.field() == 1) {  // SentencePiece
      SentencePieceModel::Piece piece;
      while (inner.next()) {
        if (inner.field() == 1) piece.text = inner.text();
        if (inner.field() == 2) piece.score = std::bit_cast<float>(uint32_t(inner.number()));
        if (inner.field() == 3) piece.type = static_cast<int>(inner.number());
      }
      check(utf8::first_invalid(piece.text) == piece.text.size(), "[", where, "] piece ",
            model.pieces.size(), " is not UTF-8");
      model.pieces.push_back(std::move(piece));
    } else if (top.field() == 2) {  // TrainerSpec
      while (inner.next()) {
        if (inner.field() == 3) model.kind = static_cast<int>(inner.number());
        if (inner.field() == 35) model.byte_fallback = inner.number() != 0;
        if (inner.field() == 40) model.unk_id = static_cast<int32_t>(inner.number());
        if (inner.field() == 41) model.bos_id = static_cast<int32_t>(inner.number());
        if (inner.field() == 42) model.eos_id = static_cast<int32_t>(inner.number());
      }
    } else if (top.field() == 3) {  // NormalizerSpec
      while (inner.next())
        if (inner.field() == 2) model.charsmap = inner.text();
    }
  }
  check(!model.pieces.empty(), "[", where, "] is no sentencepiece model: it has no pieces");
  return model;
}

}  // namespace stemma
