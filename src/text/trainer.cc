// The trainer keeps every distinct word as its current symbols, the count of every pair of
// neighbours, and a queue of pairs by count. Each round joins the most frequent pair (of several,
// that of the smallest ids) in the words that have it.
//
// Ties and repetitions follow the reference (BpeTrainer::do_train). In particular a token that two
// different pairs make is one token; pairs with it may then stand in the queue twice, each time for
// other words, and both entries become merges.
#include "text/trainer.h"

#include <algorithm>
#include <queue>
#include <unordered_map>

#include "base/error.h"
#include "text/byte_bpe.h"
#include "text/byte_level.h"
#include "text/splitter.h"
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
  explicit Trainer(const BpeTraining& options) : options_(options) {
    for (const std::string& token : options.special_tokens) add(token);
    std::vector<uint8_t> bytes(256);
    for (int b = 0; b < 256; ++b) bytes[b] = static_cast<uint8_t>(b);
    std::sort(bytes.begin(), bytes.end(),
              [](uint8_t a, uint8_t b) { return byte_level_char(a) < byte_level_char(b); });
    for (const uint8_t b : bytes) byte_id_[b] = add(byte_level_text(b));
  }

  void count_words(std::string_view text) {
    std::string repaired;
    if (utf8::first_invalid(text) != text.size()) text = repaired = utf8::replace_bad_bytes(text);
    splitter_->find_all(text, [&](size_t begin, size_t end) {
      ++word_counts_[std::string(text.substr(begin, end - begin))];
    });
  }

  Tokenizer train() {
    split_words();
    count_pairs();
    while (static_cast<int>(tokens_.size()) < options_.vocab_size && !queue_.empty()) {
      Candidate top = std::move(const_cast<Candidate&>(queue_.top()));
      queue_.pop();
      const auto now = static_cast<uint64_t>(pair_counts_[top.pair]);
      if (top.count != now) {
        top.count = now;
        queue_.push(std::move(top));
        continue;
      }
      if (top.count < 1 || top.count < options_.min_frequency) break;
      merge(top);
      if (options_.progress && tokens_.size() % 256 == 0)
        options_.progress(static_cast<int>(tokens_.size()), options_.vocab_size);
    }
    if (options_.progress)
      options_.progress(static_cast<int>(tokens_.size()), static_cast<int>(tokens_.size()));
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

  void split_words() {
    for (const auto& [word, count] : word_counts_) {
      Word split{{}, count};
      for (const char b : word) split.symbols.push_back(byte_id_[static_cast<uint8_t>(b)]);
      words_.push_back(std::move(split));
    }
    word_counts_.clear();
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
    const int32_t joined = add(tokens_[left] + tokens_[right]);
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

  Tokenizer result() const {
    Json vocab = Json::object();
    for (size_t id = 0; id < tokens_.size(); ++id) vocab.set(tokens_[id], static_cast<int64_t>(id));
    // Of merges made twice the later one counts.
    std::unordered_map<Pair, size_t, PairHash> last;
    for (size_t i = 0; i < merges_.size(); ++i) last[merges_[i]] = i;
    Json merges = Json::array();
    for (size_t i = 0; i < merges_.size(); ++i)
      if (last[merges_[i]] == i)
        merges.push_back(Json::array({tokens_[merges_[i].first], tokens_[merges_[i].second]}));
    return make_byte_bpe(std::move(vocab), std::move(merges), options_.special_tokens, true);
  }

  const BpeTraining& options_;
  std::unique_ptr<Splitter> splitter_ = gpt2_splitter();
  std::unordered_map<std::string, int64_t> word_counts_;
  int32_t byte_id_[256];
  Vocab vocab_;
  std::vector<std::string> tokens_;  // by id
  std::vector<Word> words_;
  std::unordered_map<Pair, int64_t, PairHash> pair_counts_;
  std::unordered_map<Pair, std::vector<uint32_t>, PairHash> found_;  // since the last queue_found()
  std::priority_queue<Candidate, std::vector<Candidate>, LessFrequent> queue_;
  std::vector<Pair> merges_;
};

}  // namespace

Tokenizer train_byte_bpe(const TextSource& texts, const BpeTraining& options) {
  if (options.vocab_size < 0 || options.vocab_size > kMaxTokenId)
    fail(Code::kUsage, "[trainer] vocab_size ", options.vocab_size, " is not in 0..", kMaxTokenId);
  Trainer trainer(options);
  while (const auto text = texts()) trainer.count_words(*text);
  return trainer.train();
}

Tokenizer train_byte_bpe(std::span<const std::string_view> texts, const BpeTraining& options) {
  size_t next = 0;
  return train_byte_bpe(
      [&]() -> std::optional<std::string_view> {
        if (next == texts.size()) return std::nullopt;
        return texts[next++];
      },
      options);
}

}  // namespace stemma
