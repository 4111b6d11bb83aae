// The trainer keeps every distinct word as its current symbols, the count of every pair of
// neighbours, and a queue of pairs by count. Each round joins the most frequent pair (of several,
// that of the smallest ids) in the words that have it.
//
// Ties and repetitions follow the reference (BpeTrainer::do_train). In particular a token that two
// different pairs make is one token; pairs with it may then stand in the queue twice, each time for
// other words, and both entries become merges.
#include "text/train/bpe_trainer.h"

#include <algorithm>
#include <queue>
#include <unordered_map>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/utf8.h"
#include "text/vocab.h"

namespace stemma {
namespace {

using Pair = std::pair<int32_t, int32_t>;

struct PairHash {
  size_t operator()(const Pair& p) const {
    const uint64_t key = static_cast<uint64_t>(p.first) << 32 | static_cast<uint32_t>(p.second);
    return key * 0x9E3779B97F4A7C15u >> 7;
  }
};

struct Word {
  std::vector<int32_t> symbols;
  int64_t count;
};

// A pair and the words (in order, each once) in which it was found.
struct Candidate {
  Pair pair;
  uint64_t count;
  std::vector<uint32_t> words;
};

struct LessFrequent {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return a.count != b.count ? a.count < b.count : a.pair > b.pair;
  }
};

class Trainer {
 public:
  Trainer(std::span<const CountedWord> words, const BpeLesson& lesson) : lesson_(lesson) {
    for (const std::string& token : lesson.special_tokens) add(token);
    for (const char32_t c : alphabet(words)) add(utf8::encode(c));
    for (const CountedWord& word : words) split(word);
  }

  LearnedBpe train() {
    count_pairs();
    while (static_cast<int>(tokens_.size()) < lesson_.vocab_size && !queue_.empty()) {
      Candidate top = std::move(const_cast<Candidate&>(queue_.top()));
      queue_.pop();
      const auto now = static_cast<uint64_t>(pair_counts_[top.pair]);
      if (top.count != now) {
        top.count = now;
        queue_.push(std::move(top));
        continue;
      }
      if (top.count < 1 || top.count < lesson_.min_frequency) break;
      merge(top);
      if (lesson_.progress && tokens_.size() % 256 == 0)
        lesson_.progress(static_cast<int>(tokens_.size()), lesson_.vocab_size);
    }
    if (lesson_.progress)
      lesson_.progress(static_cast<int>(tokens_.size()), static_cast<int>(tokens_.size()));
    return result();
  }

 private:
  // The id of a token, which is made if need be.
  int32_t add(std::string_view token) {
    int32_t id = vocab_.find(token);
    if (id >= 0) return id;
    id = static_cast<int32_t>(tokens_.size());
    vocab_.add(token, id, "trainer");
    tokens_.emplace_back(token);
    return id;
  }

  // The characters that are tokens, in the order of their code points.
  std::vector<char32_t> alphabet(std::span<const CountedWord> words) const {
    std::vector<std::pair<char32_t, uint64_t>> counted;
    if (lesson_.byte_level) {
      for (int b = 0; b < 256; ++b)
        counted.emplace_back(byte_level_char(static_cast<uint8_t>(b)), 0);
    } else {
      std::unordered_map<char32_t, uint64_t> counts;
      for (const auto& [text, count] : words)
        for (size_t at = 0; at < text.size();) counts[utf8::next(text, at)] += count;
      counted.assign(counts.begin(), counts.end());
    }
    std::ranges::sort(counted, [](const auto& a, const auto& b) {
      return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    const auto limit = static_cast<size_t>(lesson_.limit_alphabet);
    if (limit > 0 && counted.size() > limit) counted.resize(limit);
    std::vector<char32_t> out;
    for (const auto& [c, count] : counted) out.push_back(c);
    std::ranges::sort(out);
    return out;
  }

  // A word's first symbols; characters outside the alphabet are left out.
  void split(const CountedWord& word) {
    Word symbols{{}, static_cast<int64_t>(word.count)};
    for (size_t at = 0; at < word.text.size();) {
      const size_t begin = at;
      std::string symbol;
      if (lesson_.byte_level)
        symbol = byte_level_text(static_cast<uint8_t>(word.text[at++]));
      else
        symbol = utf8::encode(utf8::next(word.text, at));
      if (vocab_.find(symbol) < 0) continue;
      symbols.symbols.push_back(add(begin > 0 ? lesson_.prefix + symbol : symbol));
    }
    words_.push_back(std::move(symbols));
  }

  void count_pairs() {
    for (uint32_t w = 0; w < words_.size(); ++w) {
      const auto& symbols = words_[w].symbols;
      for (size_t i = 0; i + 1 < symbols.size(); ++i)
        change({symbols[i], symbols[i + 1]}, words_[w].count, w);
    }
    queue_found();
  }

  // The pair was found in (count > 0) or vanished from a word.
  void change(Pair pair, int64_t count, uint32_t word) {
    pair_counts_[pair] += count;
    if (count < 0) return;
    auto& words = found_[pair];
    if (words.empty() || words.back() != word) words.push_back(word);  // words come in order
  }

  void queue_found() {
    for (auto& [pair, words] : found_)
      if (const int64_t count = pair_counts_[pair]; count > 0)
        queue_.push({pair, static_cast<uint64_t>(count), std::move(words)});
    found_.clear();
  }

  void merge(const Candidate& top) {
    const auto [left, right] = top.pair;
    std::string_view rest = tokens_[right];
    if (rest.starts_with(lesson_.prefix)) rest.remove_prefix(lesson_.prefix.size());
    const int32_t joined = add(cat(tokens_[left], rest));
    merges_.push_back(top.pair);
    for (const uint32_t w : top.words) merge_word(w, left, right, joined);
    queue_found();
  }

  void merge_word(uint32_t w, int32_t left, int32_t right, int32_t joined) {
    auto& symbols = words_[w].symbols;
    const int64_t count = words_[w].count;
    size_t out = 0;  // what is before it is done
    for (size_t i = 0; i < symbols.size(); ++i, ++out) {
      if (symbols[i] != left || i + 1 == symbols.size() || symbols[i + 1] != right) {
        symbols[out] = symbols[i];
        continue;
      }
      if (out > 0) {
        change({symbols[out - 1], left}, -count, w);
        change({symbols[out - 1], joined}, count, w);
      }
      if (i + 2 < symbols.size()) {
        change({right, symbols[i + 2]}, -count, w);
        change({joined, symbols[i + 2]}, count, w);
      }
      symbols[out] = joined;
      ++i;
    }
    symbols.resize(out);
  }

  LearnedBpe result() const {
    LearnedBpe out{tokens_, {}};
    // Of merges made twice the later one counts.
    std::unordered_map<Pair, size_t, PairHash> last;
    for (size_t i = 0; i < merges_.size(); ++i) last[merges_[i]] = i;
    for (size_t i = 0; i < merges_.size(); ++i)
      if (last[merges_[i]] == i)
        out.merges.add(tokens_[merges_[i].first], tokens_[merges_[i].second]);
    return out;
  }

  const BpeLesson& lesson_;
  Vocab vocab_;
  std::vector<std::string> tokens_;  // by id
  std::vector<Word> words_;
  std::unordered_map<Pair, int64_t, PairHash> pair_counts_;
  std::unordered_map<Pair, std::vector<uint32_t>, PairHash> found_;  // since the last queue_found()
  std::priority_queue<Candidate, std::vector<Candidate>, LessFrequent> queue_;
  std::vector<Pair> merges_;
};

}  // namespace

LearnedBpe learn_bpe(std::span<const CountedWord> words, const BpeLesson& lesson) {
  return Trainer(words, lesson).train();
}

}  // namespace stemma
