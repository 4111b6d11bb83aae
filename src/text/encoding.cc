#include "text/encoding.h"

#include <algorithm>

#include "base/error.h"

namespace stemma {
namespace {

using Strategy = Truncation::Strategy;

// How much stays of each text.
std::vector<size_t> lengths(std::span<const size_t> sizes, size_t room, Strategy strategy) {
  const bool pair = sizes.size() == 2;
  const size_t first = sizes[0], second = pair ? sizes[1] : 0;
  if (first + second <= room) return {sizes.begin(), sizes.end()};
  if (strategy != Strategy::longest_first) {
    check(pair || strategy == Strategy::only_first,
          "[tokenizer] truncation of the second text only, and there is none");
    const size_t at = strategy == Strategy::only_second, other = sizes[0] + second - sizes[at];
    check(room > other, "[tokenizer] truncation of the ", at == 0 ? "first" : "second",
          " text only, but the other one fills the ", room, " tokens there is room for");
    std::vector<size_t> out(sizes.begin(), sizes.end());
    out[at] = room - other;
    return out;
  }
  if (!pair) return {room};
  // The shorter one stays whole as long as the longer one is not cut below it.
  size_t shorter = std::min(first, second);
  size_t longer = shorter > room ? shorter : std::max(shorter, room - shorter);
  if (shorter + longer > room) {
    shorter = room / 2;
    longer = shorter + room % 2;
  }
  if (first > second) std::swap(shorter, longer);
  return {shorter, longer};
}

std::vector<Window> windows(size_t size, size_t length, const Truncation& truncation) {
  if (length >= size) return {{0, size}};
  if (length == 0) return {{0, 0}, {0, size}};
  const auto stride = static_cast<size_t>(truncation.stride);
  check(stride < length, "[tokenizer] a stride of ", stride, " needs windows longer than the ",
        length, " tokens that stay of a text");
  std::vector<Window> out;
  for (size_t done = 0;; done += length - stride) {  // from the side that stays
    const size_t end = std::min(done + length, size);
    if (truncation.side == Side::right)
      out.push_back({done, end});
    else
      out.push_back({size - end, size - done});
    if (end == size) return out;
  }
}

void pad_to(Encoding& encoding, size_t length, const Padding& padding) {
  const size_t size = encoding.ids.size();
  encoding.attention.assign(size, 1);
  const size_t missing = length > size ? length - size : 0;
  const auto fill = [&](auto& list, auto value) {
    if (list.size() == size)  // others were not asked for
      list.insert(padding.side == Side::left ? list.begin() : list.end(), missing, value);
  };
  if (missing > 0) {
    fill(encoding.attention, uint8_t{0});
    fill(encoding.type_ids, padding.type_id);
    fill(encoding.special, uint8_t{1});
    if (!encoding.offsets.empty() || size == 0) fill(encoding.offsets, std::pair(0, 0));
    if (!encoding.word_ids.empty() || size == 0) fill(encoding.word_ids, -1);
    fill(encoding.ids, padding.id);
  }
  for (Encoding& part : encoding.overflow) pad_to(part, length, padding);
}

}  // namespace

std::vector<std::vector<Window>> truncation_windows(std::span<const size_t> sizes, size_t room,
                                                    const Truncation& truncation) {
  check(truncation.stride >= 0, "[tokenizer] a stride of ", truncation.stride);
  const std::vector<size_t> stay = lengths(sizes, room, truncation.strategy);
  std::vector<std::vector<Window>> out;
  for (size_t i = 0; i < sizes.size(); ++i) out.push_back(windows(sizes[i], stay[i], truncation));
  return out;
}

void pad(std::span<Encoding> batch, const Padding& padding) {
  check(padding.length >= 0 && padding.multiple_of >= 0, "[tokenizer] padding to ", padding.length,
        " tokens, a multiple of ", padding.multiple_of);
  auto length = static_cast<size_t>(padding.length);
  if (length == 0)
    for (const Encoding& encoding : batch) length = std::max(length, encoding.ids.size());
  if (const auto multiple = static_cast<size_t>(padding.multiple_of); multiple > 0)
    length = (length + multiple - 1) / multiple * multiple;
  for (Encoding& encoding : batch) pad_to(encoding, length, padding);
}

}  // namespace stemma
