// Unigram: of all ways to cut a piece into tokens, the one of the highest sum of scores (of equal
// ones the first found). A character that no token of its own length fits is unknown, at the lowest
// score minus 10; unknown neighbours are one token, or its bytes where byte_fallback has them all.
// Scores are parsed and added as the reference does, since ties depend on the last bit.
#include <algorithm>
#include <array>
#include <limits>

#include "base/error.h"
#include "text/byte_trie.h"
#include "text/model.h"

namespace stemma {
namespace {

constexpr double kUnknownPenalty = 10;

class Unigram : public Model {
 public:
  Unigram(const std::vector<ScoredToken>& tokens, const UnigramOptions& options,
          std::string_view where)
      : options_(options), where_(where), trie_(prepare(tokens)) {
    double lowest = std::numeric_limits<double>::infinity();
    for (const ScoredToken& token : tokens) {
      scores_.push_back(token.score);
      lowest = std::min(lowest, token.score);
    }
    unknown_score_ = lowest - kUnknownPenalty;
    if (options_.byte_fallback) {
      constexpr char kHex[] = "0123456789ABCDEF";
      for (int b = 0; b < 256; ++b)
        bytes_[b] = vocab_.find(cat("<0x", kHex[b / 16], kHex[b % 16], ">"));
    }
  }

 private:
  using Node = ModelScratch::Node;
  static constexpr uint32_t kNowhere = ~0u;  // start of a node that nothing reaches

  ByteTrie prepare(const std::vector<ScoredToken>& tokens) {
    std::vector<std::pair<std::string_view, int32_t>> entries;
    for (size_t i = 0; i < tokens.size(); ++i) {
      vocab_.add(tokens[i].text, static_cast<int64_t>(i), where_);
      entries.emplace_back(tokens[i].text, static_cast<int32_t>(i));
    }
    return ByteTrie(std::move(entries));
  }

  int32_t unknown() const {
    check(options_.unk_id.has_value(), "[", where_,
          "] a text has a character that no token fits, and there is no unk_id");
    return *options_.unk_id;
  }

  void cut(std::string_view word, WordKind, ModelScratch& scratch) const override {
    const auto size = static_cast<uint32_t>(word.size());
    std::vector<Node>& nodes = scratch.nodes;
    std::vector<WordToken>& out = scratch.tokens;
    nodes.assign(size + 1, {0, 0, kNowhere});
    for (uint32_t at = 0; at < size;) {
      const double here = nodes[at].score;
      const auto length = static_cast<uint32_t>(utf8::length(word[at]));
      bool has_single = false;
      const auto offer = [&](uint32_t end, double score, int32_t id) {
        Node& node = nodes[end];
        if (node.start == kNowhere || score > node.score) node = {score, id, at};
      };
      trie_.prefixes(word, at, [&](size_t n, int32_t id) {
        offer(at + static_cast<uint32_t>(n), scores_[id] + here, id);
        has_single |= n == length;
      });
      if (!has_single) offer(at + length, unknown_score_ + here, unknown());
      at += length;
    }
    const int32_t unk = options_.unk_id.value_or(-1);
    for (uint32_t end = size; end > 0;) {
      uint32_t start = nodes[end].start;
      if (nodes[end].id != unk) {
        out.push_back({nodes[end].id, end - start});
      } else {
        while (start > 0 && nodes[start].id == unk) start = nodes[start].start;
        add_unknown(word.substr(start, end - start), out);
      }
      end = start;
    }
    std::reverse(out.begin(), out.end());
  }

  // In reverse, as the tokens come.
  void add_unknown(std::string_view text, std::vector<WordToken>& out) const {
    const auto length = static_cast<uint32_t>(text.size());
    int32_t id = vocab_.find(text);
    if (id < 0 && options_.byte_fallback) {
      bool whole = true;
      for (const char b : text) whole &= bytes_[static_cast<uint8_t>(b)] >= 0;
      if (whole) {
        for (size_t i = text.size(); i-- > 0;)
          out.push_back({bytes_[static_cast<uint8_t>(text[i])], i == 0 ? length : 0});
        return;
      }
    }
    out.push_back({id < 0 ? unknown() : id, length});
  }

  UnigramOptions options_;
  std::string where_;
  ByteTrie trie_;
  std::vector<double> scores_;
  double unknown_score_;
  std::array<int32_t, 256> bytes_{};
};

}  // namespace

std::unique_ptr<Model> make_unigram(const std::vector<ScoredToken>& tokens,
                                    const UnigramOptions& options, std::string_view where) {
  if (options.unk_id)
    check(*options.unk_id >= 0 && static_cast<size_t>(*options.unk_id) < tokens.size(), "[", where,
          "] unk_id ", *options.unk_id, " is not in the vocabulary of ", tokens.size(), " tokens");
  return std::make_unique<Unigram>(tokens, options, where);
}

}  // namespace stemma
