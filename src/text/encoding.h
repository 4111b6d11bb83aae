// Encoding: what a text becomes, and how it is brought to a length: truncation into windows,
// padding of a batch. Both are the reference's (utils/truncation.rs, utils/padding.rs). Errors:
// Code::kFailed for lengths with no room for what must stay.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace stemma {

enum class Side : uint8_t { left, right };

struct Truncation {
  enum class Strategy : uint8_t { longest_first, only_first, only_second };
  int max_length = 0;  // tokens that stay, special tokens included; 0: all
  int stride = 0;      // tokens that a window shares with the one before
  Strategy strategy = Strategy::longest_first;
  Side side = Side::right;  // where tokens are cut off
};

struct Padding {
  int length = 0;       // 0: that of the longest of the batch
  int multiple_of = 0;  // the length is rounded up to a multiple; 0: it is not
  Side side = Side::right;
  int32_t id = 0, type_id = 0;
};

struct Encoding {
  std::vector<int32_t> ids, type_ids;
  // [start, end) in code points of the text the token came from; (0, 0) for special tokens added by
  // the template. Empty where EncodeOptions::offsets is off.
  std::vector<std::pair<int32_t, int32_t>> offsets;
  // The number of the piece that the pre-tokenizer (or the added tokens) cut out of its text, -1
  // for tokens added by the template and padding. Empty where EncodeOptions::offsets is off.
  std::vector<int32_t> word_ids;
  std::vector<uint8_t> special;    // 1 for tokens added by the template, and padding
  std::vector<uint8_t> attention;  // 0 for padding; empty unless pad() was asked
  // What truncation cut off, in windows of the same length (of pairs: every window of the one with
  // every window of the other). Empty unless EncodeOptions::overflow.
  std::vector<Encoding> overflow;
};

// Brings all of a batch, and what overflows of them, to one length; longer ones stay as they are.
void pad(std::span<Encoding> batch, const Padding& padding);

struct Window {
  size_t begin, end;  // tokens of one text
};
// For each of one or two texts of these many tokens: the window that stays, then those cut off.
// `room`: tokens that may stay of all texts together.
std::vector<std::vector<Window>> truncation_windows(std::span<const size_t> sizes, size_t room,
                                                    const Truncation& truncation);

}  // namespace stemma
