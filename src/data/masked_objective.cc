#include "data/masked_objective.h"

#include <algorithm>

#include "base/error.h"

namespace stemma {

MaskedObjective::MaskedObjective(const DataSpec& spec, Vocabulary vocabulary)
    : spec_(spec), vocabulary_(std::move(vocabulary)) {
  const auto need = [](bool ok, const auto&... message) {
    if (!ok) fail(Code::kUsage, "[data] ", message...);
  };
  need(vocabulary_.special.mask.has_value(),
       "the masked objective needs a tokenizer with a mask token");
  need(!in_pairs() || vocabulary_.special.sep,
       "two sentences need a tokenizer with a SEP token to stand between them");
  const int64_t shortest = added() + (in_pairs() ? 2 : 1);
  need(spec_.length >= shortest, "length must be at least ", shortest, ", it is ", spec_.length);
  check_mask(spec_.mask);
}

int64_t MaskedObjective::added() const {
  return vocabulary_.special.cls.has_value() + vocabulary_.special.sep.has_value() + in_pairs();
}

Objective::Around MaskedObjective::around() const {
  // Sequences of single documents get their SEP when they are cut.
  if (spec_.packing == Packing::documents || in_pairs()) return {};
  return {.before = {}, .after = vocabulary_.special.sep, .between = true, .needed = "SEP"};
}

std::vector<TokenRange> MaskedObjective::cut(const Corpus& corpus) const {
  const Packing packing = in_pairs() ? Packing::documents : spec_.packing;
  std::vector<TokenRange> ranges = cut_sequences(corpus.bounds, packing, spec_.length - added(), 0);
  if (in_pairs())  // one token is no two sentences
    std::erase_if(ranges, [](const TokenRange& range) { return range.end - range.begin < 2; });
  return ranges;
}

void MaskedObjective::append_sentences(TokenBatch& batch, const Corpus& corpus,
                                       const std::vector<TokenRange>& ranges, size_t i,
                                       const RngKey& key) const {
  const auto tokens = corpus.of(ranges[i]);
  const size_t middle = 1 + key.of("middle").below(0, tokens.size() - 1);
  auto a = tokens.first(middle), b = tokens.subspan(middle);
  const bool moved = key.of("moved").below(0, 2) == 1;
  if (moved && spec_.sentences == Sentences::order) {
    std::swap(a, b);
  } else if (moved && ranges.size() > 1) {
    // Any run but this one; what comes from it is as long as what it replaces, or shorter.
    const size_t other = key.of("other").below(0, ranges.size() - 1);
    const auto elsewhere = corpus.of(ranges[other < i ? other : other + 1]);
    b = elsewhere.first(std::min(b.size(), elsewhere.size()));
  }
  if (vocabulary_.special.cls) batch.ids.push_back(*vocabulary_.special.cls);
  batch.ids.insert(batch.ids.end(), a.begin(), a.end());
  batch.ids.push_back(*vocabulary_.special.sep);
  batch.types.resize(batch.ids.size(), 0);
  batch.ids.insert(batch.ids.end(), b.begin(), b.end());
  batch.ids.push_back(*vocabulary_.special.sep);
  batch.types.resize(batch.ids.size(), 1);
  batch.sentence_labels.push_back(moved &&
                                  (spec_.sentences == Sentences::order || ranges.size() > 1));
}

void MaskedObjective::append(TokenBatch& batch, const Corpus& corpus,
                             const std::vector<TokenRange>& ranges, size_t i, const RngKey& key,
                             bool evaluation) const {
  const size_t first = batch.ids.size();
  if (in_pairs()) {
    append_sentences(batch, corpus, ranges, i, key.of("sentences"));
  } else {
    const auto tokens = corpus.of(ranges[i]);
    if (vocabulary_.special.cls) batch.ids.push_back(*vocabulary_.special.cls);
    batch.ids.insert(batch.ids.end(), tokens.begin(), tokens.end());
    if (vocabulary_.special.sep) batch.ids.push_back(*vocabulary_.special.sep);
  }
  batch.labels.resize(batch.ids.size());
  MaskSpec mask = spec_.mask;
  if (evaluation) mask.rate = MaskSpec().rate;
  mask_tokens(std::span(batch.ids).subspan(first), std::span(batch.labels).subspan(first),
              vocabulary_.is_special, vocabulary_.continues, *vocabulary_.special.mask, mask, key);
}

}  // namespace stemma
