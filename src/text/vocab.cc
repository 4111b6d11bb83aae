#include "text/vocab.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"
#include "text/hash.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace stemma {
namespace {

std::string_view trim_end(std::string_view line) {
  for (size_t end = line.size(); end > 0; line = line.substr(0, end))
    if (!unicode::is_whitespace(utf8::previous(line, end))) break;
  return line;
}

uint32_t hash_of(std::string_view token) { return static_cast<uint32_t>(hash_bytes(token) >> 32); }

}  // namespace

Vocab Vocab::read(JsonScanner& in, std::string_view where) {
  Vocab vocab;
  in.object([&](std::string_view token) {
    const std::string_view text = in.number();
    int64_t id = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (error != std::errc() || end != text.data() + text.size())
      in.error("the id ", text, " of a token is no integer of 64 bits");
    vocab.add(token, id, where);
  });
  return vocab;
}

Vocab Vocab::from_lines(std::string_view text, std::string_view where) {
  const size_t bad = utf8::first_invalid(text);
  check(bad == text.size(), "[", where, "] is not UTF-8 at byte ", bad);
  Vocab vocab;
  for (int64_t id = 0; !text.empty(); ++id) {
    const size_t line = std::min(text.find('\n'), text.size());
    vocab.add(trim_end(text.substr(0, line)), id, where);
    text.remove_prefix(std::min(line + 1, text.size()));
  }
  return vocab;
}

size_t Vocab::slot_of(std::string_view token, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  while (slots_[at].entry >= 0 &&
         (slots_[at].hash != hash || entries_[slots_[at].entry].token != token))
    at = (at + 1) & mask;
  return at;
}

void Vocab::grow() {
  std::vector<Slot> old(slots_.empty() ? 64 : slots_.size() * 2);
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.entry < 0) continue;
    size_t at = slot.hash & mask;
    while (slots_[at].entry >= 0) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

void Vocab::add(std::string_view token, int64_t id, std::string_view where) {
  check(id >= 0 && id <= kMaxTokenId, "[", where, "] id ", id, " of token '", token,
        "' is not in 0..", kMaxTokenId);
  if (entries_.size() * 2 >= slots_.size()) grow();
  const uint32_t hash = hash_of(token);
  Slot& slot = slots_[slot_of(token, hash)];
  if (slot.entry < 0) {
    slot = {hash, size()};
    entries_.push_back({std::string(token), static_cast<int32_t>(id)});
  } else {
    Entry& entry = entries_[slot.entry];
    if (by_id_[entry.id] == slot.entry) by_id_[entry.id] = -1;
    entry.id = static_cast<int32_t>(id);
  }
  if (id >= end_id()) by_id_.resize(id + 1, -1);
  by_id_[id] = slot.entry;
}

int32_t Vocab::find(std::string_view token) const {
  if (slots_.empty()) return -1;
  const Slot& slot = slots_[slot_of(token, hash_of(token))];
  return slot.entry < 0 ? -1 : entries_[slot.entry].id;
}

void Vocab::find_all(std::span<const std::string_view> tokens, std::span<int32_t> ids) const {
  constexpr size_t kBlock = 64;
  if (slots_.empty()) {
    std::ranges::fill(ids, -1);
    return;
  }
  const size_t mask = slots_.size() - 1;
  std::array<uint32_t, kBlock> hashes;
  for (size_t begin = 0; begin < tokens.size(); begin += kBlock) {
    const size_t n = std::min(kBlock, tokens.size() - begin);
    for (size_t i = 0; i < n; ++i) {
      hashes[i] = hash_of(tokens[begin + i]);
      __builtin_prefetch(&slots_[hashes[i] & mask]);
    }
    for (size_t i = 0; i < n; ++i)  // the first slot nearly always is the one
      if (const Slot& slot = slots_[hashes[i] & mask]; slot.entry >= 0)
        __builtin_prefetch(&entries_[slot.entry]);
    for (size_t i = 0; i < n; ++i) {
      const Slot& slot = slots_[slot_of(tokens[begin + i], hashes[i])];
      ids[begin + i] = slot.entry < 0 ? -1 : entries_[slot.entry].id;
    }
  }
}

}  // namespace stemma
