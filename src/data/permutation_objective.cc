#include "data/permutation_objective.h"

#include "base/error.h"

namespace stemma {

PermutationObjective::PermutationObjective(const DataSpec& spec, Vocabulary vocabulary)
    : spec_(spec), vocabulary_(std::move(vocabulary)) {
  if (spec_.length < added() + 1)
    fail(Code::kUsage, "[data] length must be at least ", added() + 1, ", it is ", spec_.length);
  check_permutation(spec_.permutation);
}

int64_t PermutationObjective::added() const {
  return vocabulary_.special.cls.has_value() + vocabulary_.special.sep.has_value();
}

Objective::Around PermutationObjective::around() const {
  // Sequences of single documents get their SEP when they are cut.
  if (spec_.packing == Packing::documents) return {};
  return {.before = {}, .after = vocabulary_.special.sep, .between = true, .needed = "SEP"};
}

std::vector<TokenRange> PermutationObjective::cut(const Corpus& corpus) const {
  return cut_sequences(corpus.bounds, spec_.packing, spec_.length - added(), 0);
}

void PermutationObjective::append(TokenBatch& batch, const Corpus& corpus,
                                  const std::vector<TokenRange>& ranges, size_t i,
                                  const RngKey& key, bool evaluation) const {
  constexpr int32_t kClsSegment = 2;
  const size_t first = batch.ids.size();
  const auto tokens = corpus.of(ranges[i]);
  batch.ids.insert(batch.ids.end(), tokens.begin(), tokens.end());
  if (vocabulary_.special.sep) batch.ids.push_back(*vocabulary_.special.sep);
  batch.types.resize(batch.ids.size(), 0);
  if (vocabulary_.special.cls) {
    batch.ids.push_back(*vocabulary_.special.cls);
    batch.types.push_back(kClsSegment);
  }
  std::vector<uint8_t> special, starts;
  for (size_t t = first; t < batch.ids.size(); ++t) {
    const auto id = static_cast<size_t>(batch.ids[t]);
    special.push_back(vocabulary_.is_special[id]);
    starts.push_back(!vocabulary_.continues[id]);
  }
  const Permuted drawn =
      permute_order(special, starts, evaluation ? PermutationSpec() : spec_.permutation, key);
  batch.order.insert(batch.order.end(), drawn.order.begin(), drawn.order.end());
  if (batch.target_start.empty()) batch.target_start.push_back(0);
  for (const int32_t target : drawn.targets) {
    batch.targets.push_back(target);
    batch.labels.push_back(batch.ids[first + static_cast<size_t>(target)]);
  }
  batch.target_start.push_back(static_cast<int32_t>(batch.targets.size()));
}

}  // namespace stemma
