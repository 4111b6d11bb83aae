// Permutation language modelling: sequences are tokens [SEP] [CLS] (where the tokenizer has these)
// of at most `length`, CLS being a segment of its own, as XLNet has them. Nothing is masked: some
// tokens are asked for in an order that is drawn anew in each epoch (permutation.h).
#pragma once

#include "data/objective.h"

namespace stemma {

class PermutationObjective : public Objective {
 public:
  PermutationObjective(const DataSpec& spec, Vocabulary vocabulary);
  Around around() const override;
  std::vector<TokenRange> cut(const Corpus& corpus) const override;
  void append(TokenBatch& batch, const Corpus& corpus, const std::vector<TokenRange>& ranges,
              size_t i, const RngKey& key, bool evaluation) const override;

 private:
  int64_t added() const;  // tokens beside the text's

  DataSpec spec_;
  Vocabulary vocabulary_;
};

}  // namespace stemma
