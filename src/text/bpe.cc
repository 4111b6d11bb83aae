// Byte-pair encoding: a piece starts as single characters; of all neighbours that a merge joins,
// the pair of lowest rank (the leftmost of several) is joined, until none is left.
// Byte-level vocabularies are matched on the bytes themselves, without writing out their image.
// With dropout (BPE-dropout, Provilkov et al. 2020, as the reference does it) each merge that is up
// is passed over with the given probability, until the next one that is not.
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <queue>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/model.h"

namespace stemma {
namespace {

// (left id, right id) -> rank and id of what they join to. Open addressing, at most 2/3 full.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank;
    int32_t id;
  };

  explicit MergeTable(size_t merges) {
    size_t size = 64;
    while (size * 2 < merges * 3) size *= 2;
    slots_.resize(size);
  }

  // A pair that is there already takes the later rank.
  void set(int32_t left, int32_t right, Merge merge) {
    slots_[slot(left, right)] = {key(left, right), merge};
  }

  void prefetch(int32_t left, int32_t right) const {
    __builtin_prefetch(&slots_[hash_int(key(left, right)) & (slots_.size() - 1)]);
  }

  const Merge* find(int32_t left, int32_t right) const {
    const Slot& found = slots_[slot(left, right)];
    return found.key == kEmpty ? nullptr : &found.merge;
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge{};
  };

  static uint64_t key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot(int32_t left, int32_t right) const {
    const uint64_t k = key(left, right);
    const size_t mask = slots_.size() - 1;
    size_t at = hash_int(k) & mask;
    while (slots_[at].key != k && slots_[at].key != kEmpty) at = (at + 1) & mask;
    return at;
  }

  std::vector<Slot> slots_;
};

constexpr size_t kMaxMerges = size_t{1} << 24;
constexpr std::string_view kMetaspace = "\u2581";
constexpr size_t kLongWord = 128;  // symbols from which a heap beats looking at all pairs

// Joins neighbours in a short word, looking at all pairs each time: at a key for each symbol, the
// rank of the merge with the next one and the symbol's place, so that the least key is the merge.
void merge_short(const MergeTable& merges, std::vector<WordToken>& word) {
  using Keys = int32_t __attribute__((vector_size(16)));
  constexpr int32_t kNoMerge = std::numeric_limits<int32_t>::max();
  constexpr size_t kLanes = 4;
  static_assert(kMaxMerges * kLongWord <= size_t{1} << 31);
  const size_t n = word.size();
  if (n < 2) return;
  alignas(16) std::array<int32_t, kLongWord> keys;
  std::array<int32_t, kLongWord> joined;
  std::array<uint8_t, kLongWord> next, previous;  // next[last] is n
  WordToken* symbols = word.data();
  const auto rate = [&](size_t i) {
    const auto* merge = next[i] < n ? merges.find(symbols[i].id, symbols[next[i]].id) : nullptr;
    keys[i] = merge != nullptr ? static_cast<int32_t>(merge->rank * kLongWord + i) : kNoMerge;
    if (merge != nullptr) joined[i] = merge->id;
  };
  for (size_t i = 0; i < n; ++i) {
    next[i] = static_cast<uint8_t>(i + 1);
    previous[i] = static_cast<uint8_t>(i - 1);
    rate(i);
  }
  const size_t blocks = (n + kLanes - 1) / kLanes;
  std::fill(keys.begin() + n, keys.begin() + blocks * kLanes, kNoMerge);
  for (;;) {
    Keys least = Keys{} + kNoMerge;
    for (size_t block = 0; block < blocks; ++block) {
      Keys some;
      std::memcpy(&some, keys.data() + block * kLanes, sizeof some);
      least = some < least ? some : least;
    }
    const int32_t key = std::min({least[0], least[1], least[2], least[3]});
    if (key == kNoMerge) break;
    const size_t best = static_cast<size_t>(key) % kLongWord, right = next[best];
    symbols[best] = {joined[best], symbols[best].length + symbols[right].length};
    symbols[right].length = 0;
    keys[right] = kNoMerge;
    next[best] = next[right];
    if (next[best] < n) previous[next[best]] = static_cast<uint8_t>(best);
    rate(best);
    if (best > 0) rate(previous[best]);
  }
  std::erase_if(word, [](const WordToken& symbol) { return symbol.length == 0; });
}

// The same with a heap over a linked list: n log n for words of any length. A merge for which
// drop() holds is put back behind the next one that is made.
template <class Drop>
void merge_long(const MergeTable& merges, std::vector<WordToken>& word, Drop drop) {
  struct Candidate {
    uint32_t rank;
    uint32_t at;  // of the left symbol
    int32_t id;
    bool operator<(const Candidate& other) const {  // the heap's top is the greatest
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  const auto n = static_cast<uint32_t>(word.size());
  WordToken* symbols = word.data();  // length 0: joined to the one before
  std::vector<uint32_t> next(n), previous(n);
  std::priority_queue<Candidate> queue;
  std::vector<Candidate> dropped;
  const auto offer = [&](uint32_t left, uint32_t right) {
    if (const auto* merge = merges.find(symbols[left].id, symbols[right].id))
      queue.push({merge->rank, left, merge->id});
  };
  for (uint32_t i = 0; i < n; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;
    if (i + 1 < n) offer(i, i + 1);
  }
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    if (drop()) {
      dropped.push_back(top);
      continue;
    }
    for (const Candidate& candidate : dropped) queue.push(candidate);
    dropped.clear();
    const uint32_t right = next[top.at];
    if (symbols[top.at].length == 0 || right == n) continue;
    const auto* merge = merges.find(symbols[top.at].id, symbols[right].id);
    if (merge == nullptr || merge->id != top.id) continue;  // one of the two has changed
    symbols[top.at] = {top.id, symbols[top.at].length + symbols[right].length};
    symbols[right].length = 0;
    next[top.at] = next[right];
    if (next[right] < n) {
      previous[next[right]] = top.at;
      offer(top.at, next[right]);
    }
    if (top.at > 0) offer(previous[top.at], top.at);
  }
  std::erase_if(word, [](const WordToken& symbol) { return symbol.length == 0; });
}

class Bpe : public Model {
 public:
  Bpe(Vocab vocab, const Merges& merges, const BpeOptions& options, std::string_view where)
      : options_(options), where_(where), merges_(merges.size()) {
    vocab_ = std::move(vocab);
    dropout_ = options_.dropout;
    read_merges(merges);
    if (options_.unk_token) unk_ = vocab_.find(*options_.unk_token);
    fallback_.fill(-1);
    if (options_.byte_fallback) {
      constexpr char kHex[] = "0123456789ABCDEF";
      for (int b = 0; b < 256; ++b)
        fallback_[b] = vocab_.find(cat("<0x", kHex[b / 16], kHex[b % 16], ">"));
    }
    // Bytes stand for themselves where each that UTF-8 has is a token; then nothing is ever
    // unknown.
    reads_bytes_ = options_.prefix.empty() && options_.suffix.empty();
    for (int b = 0; b < 256; ++b) {
      bytes_[b] = vocab_.find(byte_level_text(static_cast<uint8_t>(b)));
      const bool in_texts = b != 0xC0 && b != 0xC1 && b < 0xF5;
      reads_bytes_ &= bytes_[b] >= 0 || !in_texts;
    }
    if (may_cut_before(kMetaspace, merges)) boundary_ = kMetaspace;
    find_seams(merges);
  }

 private:
  void read_merges(const Merges& merges) {
    check(merges.size() <= kMaxMerges, "[", where_, "] ", merges.size(), " merges; the limit is ",
          kMaxMerges);
    constexpr size_t kBlock = 256;  // merges looked up together
    std::vector<std::string_view> tokens;
    std::vector<std::string> without_prefix(kBlock);
    std::vector<int32_t> ids(3 * kBlock);
    for (size_t begin = 0; begin < merges.size(); begin += kBlock) {
      const size_t end = std::min(begin + kBlock, merges.size());
      tokens.clear();
      for (size_t rank = begin; rank < end; ++rank) {
        const std::string_view left = merges.left(rank), right = merges.right(rank);
        std::string_view joined = merges.both(rank);
        if (const size_t prefix = options_.prefix.size(); prefix > 0) {
          check(right.size() >= prefix, "[", where_, "] merge ", rank, " '", left, " ", right,
                "' is shorter than the prefix of continuing pieces");
          joined = without_prefix[rank - begin].assign(left).append(right.substr(prefix));
        }
        tokens.insert(tokens.end(), {left, right, joined});
      }
      vocab_.find_all(tokens, ids);
      for (size_t i = 0; i < tokens.size(); ++i)
        check(ids[i] >= 0, "[", where_, "] merge ", begin + i / 3, " needs the token '", tokens[i],
              "', which is not in the vocabulary");
      for (size_t i = 0; i < tokens.size(); i += 3) merges_.prefetch(ids[i], ids[i + 1]);
      for (size_t i = 0; i < tokens.size(); i += 3)
        merges_.set(ids[i], ids[i + 1], {static_cast<uint32_t>(begin + i / 3), ids[i + 2]});
    }
  }

  // Whether words may be cut before this character where none stands in front of it: it is a token
  // of its own, no merge joins something else with what begins with it, and no character is dropped
  // (the reference then shifts offsets to the word's end). Vocabularies without a pre-tokenizer
  // take a whole text as one word.
  bool may_cut_before(std::string_view character, const Merges& merges) const {
    if (!options_.prefix.empty() || !options_.suffix.empty() || options_.ignore_merges)
      return false;
    const bool drops = !options_.unk_token && std::ranges::find(fallback_, -1) != fallback_.end();
    if (drops || vocab_.find(character) < 0) return false;
    for (size_t rank = 0; rank < merges.size(); ++rank)
      if (!merges.left(rank).ends_with(character) && merges.right(rank).starts_with(character))
        return false;
    return true;
  }

  // Words may be cut at seams where every character is a symbol or the bytes of a fallback: unknown
  // ones would have to be known to their neighbours.
  void find_seams(const Merges& merges) {
    if (!options_.prefix.empty() || !options_.suffix.empty()) return;
    if (reads_bytes_) {
      seams_.emplace();
      std::string bytes;
      for (const auto& [token, id] : vocab_.entries())
        if (byte_level_bytes(token, bytes)) seams_->add(bytes);
    } else if (std::ranges::find(fallback_, -1) == fallback_.end()) {
      // No merge may join bytes of a fallback, which are not in the text as they are spelled.
      for (size_t rank = 0; rank < merges.size(); ++rank)
        for (const std::string_view part : {merges.left(rank), merges.right(rank)})
          if (std::ranges::find(fallback_, vocab_.find(part)) != fallback_.end()) return;
      seams_.emplace();
      for (const auto& [token, id] : vocab_.entries()) seams_->add(token);
    }
    if (seams_) seams_->finish();
  }

  void cut(std::string_view word, WordKind kind, ModelScratch& scratch) const override {
    std::vector<WordToken>& out = scratch.tokens;
    if (options_.ignore_merges && !kind.part) {
      std::string_view token = word;
      if (kind.bytes) {
        scratch.image.clear();
        for (const char b : word) scratch.image += byte_level_text(static_cast<uint8_t>(b));
        token = scratch.image;
      }
      const int32_t id = vocab_.find(token);
      if (id >= 0) return out.push_back({id, static_cast<uint32_t>(word.size())});
    }
    cut_symbols(word, kind.bytes, out);
    if (out.size() <= kLongWord)
      merge_short(merges_, out);
    else
      merge_long(merges_, out, [] { return false; });
  }

  void cut_with_dropout(std::string_view word, WordKind kind, const Dropout& dropout,
                        ModelScratch& scratch) const override {
    cut_symbols(word, kind.bytes, scratch.tokens);
    uint64_t draws = 0;
    merge_long(merges_, scratch.tokens,
               [&] { return dropout.key.uniform(draws++) < dropout.probability; });
  }

  // The first symbols of a word.
  void cut_symbols(std::string_view word, bool bytes, std::vector<WordToken>& out) const {
    if (!bytes) return cut_characters(word, out);
    for (const char b : word) out.push_back({bytes_[static_cast<uint8_t>(b)], 1});
  }

  // Characters, or what stands for those that have no token. A pending
  // unknown is flushed only by a known character, so bytes of a fallback come before it: the
  // reference's order.
  void cut_characters(std::string_view word, std::vector<WordToken>& out) const {
    uint32_t unknown = 0;  // bytes of the pending unknown token
    const auto flush = [&] {
      if (unknown > 0) out.push_back({unk_, unknown});
      unknown = 0;
    };
    std::string symbol;
    for (size_t at = 0; at < word.size();) {
      const size_t begin = at;
      utf8::next(word, at);
      const auto length = static_cast<uint32_t>(at - begin);
      symbol.clear();
      if (begin > 0) symbol += options_.prefix;
      symbol += word.substr(begin, length);
      if (at == word.size()) symbol += options_.suffix;
      if (const int32_t id = vocab_.find(symbol); id >= 0) {
        flush();
        out.push_back({id, length});
        continue;
      }
      if (options_.byte_fallback && fall_back(symbol, out)) continue;
      if (!options_.unk_token) continue;  // it is dropped
      check(unk_ >= 0, "[", where_, "] the unknown token '", *options_.unk_token,
            "' is not in the vocabulary");
      if (!options_.fuse_unk) flush();
      unknown += length;
    }
    flush();
  }

  // One token a byte, if all of them exist.
  bool fall_back(std::string_view symbol, std::vector<WordToken>& out) const {
    for (const char b : symbol)
      if (fallback_[static_cast<uint8_t>(b)] < 0) return false;
    for (const char b : symbol) out.push_back({fallback_[static_cast<uint8_t>(b)], 1});
    return true;
  }

  BpeOptions options_;
  std::string where_;
  MergeTable merges_;
  int32_t unk_ = -1;
  std::array<int32_t, 256> bytes_{}, fallback_{};
};

}  // namespace

std::unique_ptr<Model> make_bpe(Vocab vocab, const Merges& merges, const BpeOptions& options,
                                std::string_view where) {
  return std::make_unique<Bpe>(std::move(vocab), merges, options, where);
}

}  // namespace stemma
