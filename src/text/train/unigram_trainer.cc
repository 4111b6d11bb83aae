#include "text/train/unigram_trainer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>

#include "text/byte_trie.h"
#include "text/utf8.h"

namespace stemma {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();
constexpr int64_t kShares = 16;  // of the words; sums are made share by share
constexpr int kStepsPerRound = 2;
constexpr double kShrink = 0.75;        // of the pieces stay in a round
constexpr double kLeastExpected = 0.5;  // occurrences, for a piece to stay

double log_add(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == kNever ? a : a + std::log1p(std::exp(b - a));
}

// The derivative of log gamma, by its recurrence and asymptotic series.
double digamma(double x) {
  double out = 0;
  for (; x < 7; ++x) out -= 1 / x;
  x -= 0.5;
  const double y = 1 / x, y2 = y * y, y4 = y2 * y2;
  return out + std::log(x) + y2 / 24 - 7 * y4 / 960 + 31 * y4 * y2 / 8064 - 127 * y4 * y4 / 30720;
}

bool is_character(std::string_view text) {
  return utf8::length(text[0]) == static_cast<int>(text.size());
}

// Substrings that occur at least twice and are as long as their occurrences let them be, with the
// number of occurrences: the inner nodes (and repeated leaves) of the words' suffix tree, found in
// the sorted list of their suffixes.
class Substrings {
 public:
  Substrings(std::span<const CountedWord> words, int max_characters, Team& team) {
    for (const auto& [text, count] : words)
      for (size_t at = 0; at < text.size(); at += utf8::length(text[at])) {
        size_t end = at;
        for (int i = 0; i < max_characters && end < text.size(); ++i) utf8::next(text, end);
        suffixes_[static_cast<uint8_t>(text[at])].push_back(
            {std::string_view(text).substr(at, end - at), count});
      }
    team.run(256, [&](int64_t byte) { std::ranges::sort(suffixes_[byte], {}, &Suffix::text); });
  }

  // found(text, occurrences)
  template <class Found>
  void each(Found found) const {
    for (const auto& suffixes : suffixes_) each(suffixes, found);
  }

 private:
  struct Suffix {
    std::string_view text;
    uint64_t count;
  };

  // Bytes of whole characters that both begin with.
  static size_t common(std::string_view a, std::string_view b) {
    size_t n = std::ranges::mismatch(a, b).in1 - a.begin();
    while (n > 0 && ((n < a.size() && utf8::is_continuation(a[n])) ||
                     (n < b.size() && utf8::is_continuation(b[n]))))
      --n;
    return n;
  }

  template <class Found>
  static void each(const std::vector<Suffix>& suffixes, Found found) {
    const size_t n = suffixes.size();
    std::vector<uint64_t> before(n + 1, 0);  // occurrences of the suffixes before
    for (size_t i = 0; i < n; ++i) before[i + 1] = before[i] + suffixes[i].count;
    struct Open {
      size_t length, begin;
    };
    std::vector<Open> open;
    size_t last = 0;
    for (size_t i = 1; i <= n; ++i) {
      const size_t length = i < n ? common(suffixes[i - 1].text, suffixes[i].text) : 0;
      const Suffix& leaf = suffixes[i - 1];
      if (leaf.text.size() > std::max(last, length) && leaf.count > 1) found(leaf.text, leaf.count);
      size_t begin = i - 1;
      for (; !open.empty() && open.back().length > length; open.pop_back()) {
        begin = open.back().begin;
        found(leaf.text.substr(0, open.back().length), before[i] - before[begin]);
      }
      if (length > 0 && (open.empty() || open.back().length < length))
        open.push_back({length, begin});
      last = length;
    }
  }

  std::vector<Suffix> suffixes_[256];  // by first byte, sorted
};

class Trainer {
 public:
  Trainer(std::span<const CountedWord> words, const UnigramLesson& lesson, Team& team)
      : words_(words), lesson_(lesson), team_(team) {
    seed();
  }

  std::vector<ScoredToken> train() {
    const auto wanted = static_cast<size_t>(lesson_.size);
    const size_t enough = wanted + wanted / 10, begin = pieces_.size();
    for (;;) {
      for (int i = 0; i < kStepsPerRound; ++i) maximise(expect());
      if (lesson_.progress && begin > enough)
        lesson_.progress(static_cast<int>(begin - std::max(pieces_.size(), enough)),
                         static_cast<int>(begin - enough));
      if (pieces_.size() <= enough || !prune(enough)) break;
    }
    // Characters first in rank, so that none is lost.
    std::ranges::sort(pieces_, [](const ScoredToken& a, const ScoredToken& b) {
      const bool left = is_character(a.text), right = is_character(b.text);
      if (left != right) return left;
      return a.score != b.score ? a.score > b.score : a.text < b.text;
    });
    const auto characters = static_cast<size_t>(std::ranges::count_if(
        pieces_, [](const ScoredToken& piece) { return is_character(piece.text); }));
    pieces_.resize(std::min(pieces_.size(), std::max(wanted, characters)));
    std::ranges::sort(pieces_, [](const ScoredToken& a, const ScoredToken& b) {
      return a.score != b.score ? a.score > b.score : a.text < b.text;
    });
    return std::move(pieces_);
  }

 private:
  void seed() {
    std::vector<ScoredToken> longer;
    std::unordered_map<std::string_view, uint64_t> characters;
    for (const auto& [text, count] : words_)
      for (size_t at = 0, begin; at < text.size();) {
        begin = at;
        utf8::next(text, at);
        characters[std::string_view(text).substr(begin, at - begin)] += count;
      }
    const Substrings substrings(words_, lesson_.max_characters, team_);
    substrings.each([&](std::string_view text, uint64_t count) {
      if (count > 1 && !is_character(text))
        longer.push_back({std::string(text),
                          static_cast<double>(count) * static_cast<double>(utf8::count(text))});
    });
    const auto better = [](const ScoredToken& a, const ScoredToken& b) {
      return a.score != b.score ? a.score > b.score : a.text < b.text;
    };
    std::ranges::sort(longer, better);
    if (longer.size() > static_cast<size_t>(lesson_.seeds)) longer.resize(lesson_.seeds);
    for (const auto& [text, count] : characters)
      pieces_.push_back({std::string(text), static_cast<double>(count)});
    std::ranges::sort(pieces_, better);
    pieces_.insert(pieces_.end(), longer.begin(), longer.end());
    double sum = 0;
    for (const ScoredToken& piece : pieces_) sum += piece.score;
    for (ScoredToken& piece : pieces_) piece.score = std::log(piece.score / sum);
  }

  ByteTrie trie() const {
    std::vector<std::pair<std::string_view, int32_t>> entries;
    for (size_t i = 0; i < pieces_.size(); ++i)
      entries.emplace_back(pieces_[i].text, static_cast<int32_t>(i));
    return ByteTrie(std::move(entries));
  }

  // Sums over all words, of what each(trie, word, sums) adds.
  template <class Each>
  std::vector<double> sum_over_words(Each each) const {
    const ByteTrie all = trie();
    std::vector<std::vector<double>> shares(kShares);
    const auto n = static_cast<int64_t>(words_.size());
    team_.run(kShares, [&](int64_t share) {
      shares[share].resize(pieces_.size());
      for (int64_t i = n * share / kShares; i < n * (share + 1) / kShares; ++i)
        each(all, words_[i], shares[share]);
    });
    for (int64_t share = 1; share < kShares; ++share)
      for (size_t i = 0; i < pieces_.size(); ++i) shares[0][i] += shares[share][i];
    return std::move(shares[0]);
  }

  // How often each piece is expected to occur.
  std::vector<double> expect() const {
    return sum_over_words([this](const ByteTrie& trie, const CountedWord& word, auto& expected) {
      const std::string_view text = word.text;
      thread_local std::vector<double> forth, back;
      forth.assign(text.size() + 1, kNever);
      back.assign(text.size() + 1, kNever);
      forth[0] = back[text.size()] = 0;
      for (size_t at = 0; at < text.size(); at += utf8::length(text[at]))
        trie.prefixes(text, at, [&](size_t size, int32_t id) {
          forth[at + size] = log_add(forth[at + size], forth[at] + pieces_[id].score);
        });
      for (size_t at = text.size(); at > 0;) {
        utf8::previous(text, at);
        trie.prefixes(text, at, [&](size_t size, int32_t id) {
          back[at] = log_add(back[at], pieces_[id].score + back[at + size]);
        });
      }
      const auto count = static_cast<double>(word.count);
      for (size_t at = 0; at < text.size(); at += utf8::length(text[at]))
        trie.prefixes(text, at, [&](size_t size, int32_t id) {
          expected[id] += count * std::exp(forth[at] + pieces_[id].score + back[at + size] -
                                           forth[text.size()]);
        });
    });
  }

  // Scores from expected occurrences, with the prior that digamma stands for.
  void maximise(const std::vector<double>& expected) {
    std::vector<ScoredToken> kept;
    double sum = 0;
    for (size_t i = 0; i < pieces_.size(); ++i) {
      const bool stays = is_character(pieces_[i].text);
      if (expected[i] < kLeastExpected && !stays) continue;
      const double count = std::max(expected[i], kLeastExpected);
      kept.push_back({std::move(pieces_[i].text), count});
      sum += count;
    }
    const double all = digamma(sum);
    for (ScoredToken& piece : kept) piece.score = digamma(piece.score) - all;
    pieces_ = std::move(kept);
  }

  // The best way to cut a text, or the best but the one that takes it whole.
  std::vector<int32_t> best(const ByteTrie& trie, std::string_view text, bool not_whole) const {
    std::vector<double> score(text.size() + 1, kNever);
    std::vector<std::pair<size_t, int32_t>> from(text.size() + 1);
    score[0] = 0;
    for (size_t at = 0; at < text.size(); at += utf8::length(text[at]))
      trie.prefixes(text, at, [&](size_t size, int32_t id) {
        if (not_whole && size == text.size()) return;
        const double sum = score[at] + pieces_[id].score;
        if (sum <= score[at + size]) return;
        score[at + size] = sum;
        from[at + size] = {at, id};
      });
    std::vector<int32_t> ids;
    for (size_t end = text.size(); end > 0 && score[end] != kNever; end = from[end].first)
      ids.push_back(from[end].second);
    return ids;
  }

  // Drops the pieces without which the likelihood falls least; false where nothing can be dropped.
  bool prune(size_t enough) {
    const std::vector<double> used =
        sum_over_words([this](const ByteTrie& trie, const CountedWord& word, auto& sums) {
          for (const int32_t id : best(trie, word.text, false))
            sums[id] += static_cast<double>(word.count);
        });
    double all = 0;
    for (const double count : used) all += count;
    const double log_all = std::log(all);
    const ByteTrie trie = this->trie();
    std::vector<double> loss(pieces_.size());
    constexpr double kKeep = std::numeric_limits<double>::infinity();
    team_.run_range(static_cast<int64_t>(pieces_.size()), 4096, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const ScoredToken& piece = pieces_[i];
        if (is_character(piece.text)) {
          loss[i] = kKeep;
          continue;
        }
        const std::vector<int32_t> parts = best(trie, piece.text, true);
        double parts_score = 0;
        for (const int32_t part : parts) parts_score += pieces_[part].score;
        if (used[i] == 0 || parts_score > piece.score) {
          loss[i] = -kKeep;  // nothing is cut so
          continue;
        }
        const double without = std::log(all + used[i] * static_cast<double>(parts.size() - 1));
        double alternative = 0;
        for (const int32_t part : parts) alternative += std::log(used[part] + used[i]) - without;
        loss[i] = used[i] / all * (std::log(used[i]) - log_all - alternative);
      }
    });
    std::vector<size_t> order(pieces_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::sort(order, [&](size_t a, size_t b) {
      return loss[a] != loss[b] ? loss[a] > loss[b] : pieces_[a].text < pieces_[b].text;
    });
    size_t keep =
        std::max(enough, static_cast<size_t>(kShrink * static_cast<double>(pieces_.size())));
    while (keep > 0 && loss[order[keep - 1]] == -kKeep) --keep;
    while (keep < order.size() && loss[order[keep]] == kKeep) ++keep;
    if (keep >= pieces_.size()) return false;
    std::vector<ScoredToken> kept;
    for (size_t i = 0; i < keep; ++i) kept.push_back(std::move(pieces_[order[i]]));
    pieces_ = std::move(kept);
    return true;
  }

  std::span<const CountedWord> words_;
  const UnigramLesson& lesson_;
  Team& team_;
  std::vector<ScoredToken> pieces_;  // scores are logarithms of probabilities
};

}  // namespace

std::vector<ScoredToken> learn_unigram(std::span<const CountedWord> words,
                                       const UnigramLesson& lesson, Team& team) {
  return words.empty() ? std::vector<ScoredToken>() : Trainer(words, lesson, team).train();
}

}  // namespace stemma
