// Masked language modelling: sequences are [CLS] tokens [SEP] (where the tokenizer has these) of at
// most `length`, some tokens masked (masking.h). With two sentences they are [CLS] A [SEP] B [SEP],
// A and B cut from one run of a document at a random place:
//   next   with probability 1/2, B is instead from the beginning of another run (Devlin et al.
//   2018); order  with probability 1/2, A and B change places (Lan et al. 2020).
#pragma once

#include "data/objective.h"

namespace stemma {

class MaskedObjective : public Objective {
 public:
  MaskedObjective(const DataSpec& spec, Vocabulary vocabulary);
  Around around() const override;
  std::vector<TokenRange> cut(const Corpus& corpus) const override;
  void append(TokenBatch& batch, const Corpus& corpus, const std::vector<TokenRange>& ranges,
              size_t i, const RngKey& key, bool evaluation) const override;

 private:
  bool in_pairs() const { return spec_.sentences != Sentences::one; }
  int64_t added() const;  // tokens beside the text's
  void append_sentences(TokenBatch& batch, const Corpus& corpus,
                        const std::vector<TokenRange>& ranges, size_t i, const RngKey& key) const;

  DataSpec spec_;
  Vocabulary vocabulary_;
};

}  // namespace stemma
