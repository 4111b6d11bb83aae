#include "text/train/word_counts.h"

#include <algorithm>

#include "text/hash.h"
#include "text/utf8.h"

namespace stemma {

size_t WordCounter::Hash::operator()(std::string_view text) const { return hash_bytes(text); }

void WordCounter::count(std::string_view text, PreTokens& pieces, Counts& counts) const {
  std::string repaired;
  if (utf8::first_invalid(text) != text.size()) text = repaired = utf8::replace_bad_bytes(text);
  pieces.clear();
  Normalized normal(text, 0);
  if (normalizer_ != nullptr) normalizer_->apply(normal);
  if (normal.text().empty()) return;
  pieces.text = normal.text();
  pieces.pieces.push_back({0, static_cast<uint32_t>(normal.text().size())});
  if (pre_tokenizer_ != nullptr) pre_tokenizer_->apply(pieces);
  for (const Piece& piece : pieces.pieces) {
    const std::string_view word = pieces.of(piece);
    const auto found = counts.find(word);
    if (found != counts.end())
      ++found->second;
    else
      counts.emplace(word, 1);
  }
}

void WordCounter::add(std::span<const std::string> texts, Team& team) {
  constexpr int64_t kTextsAtOnce = 256;
  const auto n = static_cast<int64_t>(texts.size());
  std::vector<Counts> parts((n + kTextsAtOnce - 1) / kTextsAtOnce);
  team.run_range(n, kTextsAtOnce, [&](int64_t begin, int64_t end) {
    PreTokens pieces;
    for (int64_t i = begin; i < end; ++i) count(texts[i], pieces, parts[begin / kTextsAtOnce]);
  });
  for (Counts& part : parts) {
    for (auto& [word, count] : part) counts_[word] += count;
    part.clear();
  }
  while (counts_.size() > max_words_) forget();
}

void WordCounter::forget() {
  ++rare_;
  std::erase_if(counts_, [this](const auto& entry) { return entry.second <= rare_; });
}

std::vector<CountedWord> WordCounter::take() {
  std::vector<CountedWord> out;
  out.reserve(counts_.size());
  for (auto& [word, count] : counts_) out.push_back({word, count});
  counts_.clear();
  std::ranges::sort(out, {}, &CountedWord::text);
  return out;
}

}  // namespace stemma
