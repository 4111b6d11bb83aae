#include "data/objective.h"

#include <algorithm>

#include "base/error.h"
#include "data/masked_objective.h"
#include "data/permutation_objective.h"

namespace stemma {
namespace {

class CausalObjective : public Objective {
 public:
  CausalObjective(const DataSpec& spec, Vocabulary vocabulary)
      : spec_(spec), vocabulary_(std::move(vocabulary)) {
    if (spec.length < 1)
      fail(Code::kUsage, "[data] length must be at least 1, it is ", spec.length);
  }
  Around around() const override {
    return {.before = vocabulary_.adds_bos ? vocabulary_.special.bos : std::nullopt,
            .after = vocabulary_.special.eos,
            .needed = "EOS"};
  }
  std::vector<TokenRange> cut(const Corpus& corpus) const override {
    return cut_sequences(corpus.bounds, spec_.packing, spec_.length + 1, 1);
  }
  void append(TokenBatch& batch, const Corpus& corpus, const std::vector<TokenRange>& ranges,
              size_t i, const RngKey&, bool) const override {
    const auto tokens = corpus.of(ranges[i]);
    batch.ids.insert(batch.ids.end(), tokens.begin(), tokens.end() - 1);
    batch.labels.insert(batch.labels.end(), tokens.begin() + 1, tokens.end());
  }

 private:
  DataSpec spec_;
  Vocabulary vocabulary_;
};

class PrefixObjective : public CausalObjective {
 public:
  using CausalObjective::CausalObjective;
  void append(TokenBatch& batch, const Corpus& corpus, const std::vector<TokenRange>& ranges,
              size_t i, const RngKey& key, bool evaluation) const override {
    const size_t first = batch.ids.size();
    CausalObjective::append(batch, corpus, ranges, i, key, evaluation);
    const auto prefix =
        static_cast<int32_t>(1 + key.of("prefix").below(0, batch.ids.size() - first));
    batch.prefix.push_back(prefix);
    // The prefix's last token is the first to predict one behind it.
    std::fill_n(batch.labels.begin() + static_cast<int64_t>(first), prefix - 1, kNoLabel);
  }
};

// What a decoder writes after an encoder has read: it reads the start token and then the target,
// each token of which it has to predict.
class SourceObjective : public Objective {
 protected:
  SourceObjective(const DataSpec& spec, Vocabulary vocabulary)
      : spec_(spec), vocabulary_(std::move(vocabulary)) {
    need(vocabulary_.special.eos.has_value(),
         "a target ends with EOS, which the tokenizer does not have");
    need(spec.length >= 2, "length must be at least 2, it is ", spec.length);
  }
  template <class... Message>
  static void need(bool ok, const Message&... message) {
    if (!ok) fail(Code::kUsage, "[data] ", message...);
  }
  void append_pair(TokenBatch& batch, Corrupted pair) const {
    if (batch.source_start.empty()) batch.source_start.push_back(0);
    if (!vocabulary_.adds_eos) pair.source.pop_back();  // a prompt has none either
    batch.source_ids.insert(batch.source_ids.end(), pair.source.begin(), pair.source.end());
    check(batch.source_ids.size() <= INT32_MAX, "[data] a batch of more than 2^31 - 1 tokens");
    batch.source_start.push_back(static_cast<int32_t>(batch.source_ids.size()));
    batch.ids.push_back(spec_.start);
    batch.ids.insert(batch.ids.end(), pair.target.begin(), pair.target.end() - 1);
    batch.labels.insert(batch.labels.end(), pair.target.begin(), pair.target.end());
  }

  DataSpec spec_;
  Vocabulary vocabulary_;
};

class SpanObjective : public SourceObjective {
 public:
  SpanObjective(const DataSpec& spec, Vocabulary vocabulary)
      : SourceObjective(spec, std::move(vocabulary)) {
    const auto sentinels = static_cast<int64_t>(vocabulary_.sentinels.size());
    for (const SpanSpec& spans : {spec_.spans, SpanSpec()}) {
      check_spans(spans);
      const int64_t wanted = noise_of(lengths_for(spec_.length, spans).tokens, spans).spans;
      need(wanted <= sentinels, "a source of ", spec_.length, " tokens has ", wanted,
           " spans, and the tokenizer ", sentinels, " sentinels (<extra_id_0>, <extra_id_1>, ...)");
    }
  }
  std::vector<TokenRange> cut(const Corpus& corpus) const override {
    std::vector<TokenRange> ranges = cut_sequences(
        corpus.bounds, spec_.packing, lengths_for(spec_.length, spec_.spans).tokens, 0);
    // A token alone is neither noise nor the rest.
    std::erase_if(ranges, [](const TokenRange& range) { return range.end - range.begin < 2; });
    return ranges;
  }
  void append(TokenBatch& batch, const Corpus& corpus, const std::vector<TokenRange>& ranges,
              size_t i, const RngKey& key, bool evaluation) const override {
    append_pair(batch,
                corrupt_spans(corpus.of(ranges[i]), vocabulary_.sentinels, vocabulary_.special.eos,
                              evaluation ? SpanSpec() : spec_.spans, key));
  }
};

class PairObjective : public SourceObjective {
 public:
  PairObjective(const DataSpec& spec, Vocabulary vocabulary)
      : SourceObjective(spec, std::move(vocabulary)) {
    need(spec.target_length != 1, "target_length has no room beside EOS");
  }
  bool reads_pairs() const override { return true; }
  std::vector<TokenRange> cut(const Corpus& corpus) const override {
    std::vector<TokenRange> ranges;
    for (size_t i = 0; i + 1 < corpus.bounds.size(); ++i)
      ranges.push_back({corpus.bounds[i], corpus.bounds[i + 1]});
    return ranges;
  }
  void append(TokenBatch& batch, const Corpus& corpus, const std::vector<TokenRange>& ranges,
              size_t i, const RngKey&, bool) const override {
    const auto ended = [&](const TokenRange& range, int64_t most) {
      const auto tokens = corpus.of(range);
      const auto kept = std::min<int64_t>(static_cast<int64_t>(tokens.size()), most - 1);
      std::vector<int32_t> ids(tokens.begin(), tokens.begin() + kept);
      ids.push_back(*vocabulary_.special.eos);
      return ids;
    };
    const int64_t most = spec_.target_length > 0 ? spec_.target_length : spec_.length;
    append_pair(batch, {ended({ranges[i].begin, corpus.targets[i]}, spec_.length),
                        ended({corpus.targets[i], ranges[i].end}, most)});
  }
};

}  // namespace

Vocabulary::Vocabulary(const Tokenizer& tokenizer) : special(tokenizer.special()) {
  const std::vector<int32_t> empty = tokenizer.encode("").ids;
  adds_bos = special.bos && !empty.empty() && empty.front() == *special.bos;
  adds_eos = special.eos && !empty.empty() && empty.back() == *special.eos;
  for (int i = 0;; ++i) {
    const auto id = tokenizer.id(cat("<extra_id_", i, ">"));
    if (!id) break;
    sentinels.push_back(*id);
  }
  // A word's first piece carries the space before it (byte-level, sentencepiece), or every other
  // piece the prefix ## (WordPiece): whichever more tokens have.
  constexpr std::string_view kByteSpace = "\xC4\xA0", kMetaSpace = "\xE2\x96\x81", kRest = "##";
  const auto begins_with_space = [&](std::string_view token) {
    return token.starts_with(kByteSpace) || token.starts_with(kMetaSpace);
  };
  const int32_t size = tokenizer.vocab_size();
  int32_t spaces = 0, rests = 0;
  for (int32_t id = 0; id < size; ++id) {
    spaces += begins_with_space(tokenizer.token(id));
    rests += std::string_view(tokenizer.token(id)).starts_with(kRest);
  }
  for (int32_t id = 0; id < size; ++id) {
    const std::string_view token = tokenizer.token(id);
    is_special.push_back(tokenizer.is_special(id));
    continues.push_back(!is_special.back() && (rests > spaces ? token.starts_with(kRest)
                                               : spaces > 0   ? !begins_with_space(token)
                                                              : false));
  }
}

std::unique_ptr<Objective> make_objective(const DataSpec& spec, Vocabulary vocabulary) {
  switch (spec.objective) {
    case DataObjective::causal:
      return std::make_unique<CausalObjective>(spec, std::move(vocabulary));
    case DataObjective::prefix:
      return std::make_unique<PrefixObjective>(spec, std::move(vocabulary));
    case DataObjective::masked:
    case DataObjective::replaced:
      return std::make_unique<MaskedObjective>(spec, std::move(vocabulary));
    case DataObjective::span_corruption:
      return std::make_unique<SpanObjective>(spec, std::move(vocabulary));
    case DataObjective::seq2seq:
      return std::make_unique<PairObjective>(spec, std::move(vocabulary));
    case DataObjective::permutation:
      return std::make_unique<PermutationObjective>(spec, std::move(vocabulary));
  }
  return nullptr;
}

}  // namespace stemma
