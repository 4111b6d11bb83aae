// Packing: cuts a flat run of document tokens into the sequences a model is trained on.
// `join` reads all documents as one text (concatenate and chop: attention may cross documents);
// `documents` cuts each by itself, so that no sequence holds tokens of two.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace stemma {

enum class Packing { join, documents };

struct TokenRange {
  int64_t begin, end;
  bool operator==(const TokenRange&) const = default;
};

// `bounds` [documents + 1] are the documents' starts and the end of the last. Ranges have `length`
// tokens, each beginning `overlap` < length tokens before the end of the one before; the last of a
// text may be shorter, but has more than `overlap` tokens.
std::vector<TokenRange> cut_sequences(std::span<const int64_t> bounds, Packing packing,
                                      int64_t length, int64_t overlap);

}  // namespace stemma
