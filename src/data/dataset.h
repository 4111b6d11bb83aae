// Dataset: the data side of training. Opening reads and tokenises the files and cuts them into
// sequences, as the objective (objective.h) wants them; batches are then a pure function of (data,
// spec, position).
//
// Causal: a document is [BOS where the tokenizer adds one] text EOS. Sequences have `length` input
// tokens, and together predict each token of a text but its first exactly once.
// Prefix: causal sequences, each cut at random in each epoch; its first part is seen whole, and the
// rest is predicted.
// Masked: see masked_objective.h; masked anew in each epoch; joined documents are told apart by
// SEP. Span corruption: as many tokens as make a source of `length`; joined documents run on
// without a mark (see span_corruption.h; sentinels are the tokens <extra_id_0>, <extra_id_1>, ...).
// Sequence to sequence: a pair each, cut to `length` and `target_length`, EOS included. A source
// ends with EOS where the tokenizer itself would add it, so that it is what a prompt will be.
// The last sequence of a text may be shorter. The last `validation` share of the sequences, in the
// order of the data, is kept for evaluation (at least one, where the share is not 0).
// Errors: see readers.h; Code::kUsage for a spec that cannot work, Code::kFailed for data without
// a sequence to train on. Thread safety: a const Dataset may be used from many threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/team.h"
#include "data/objective.h"
#include "data/readers.h"

namespace stemma {

class Dataset {
 public:
  // The result does not depend on the size of the team.
  static Dataset open(const DataSpec& spec, const Tokenizer& tokenizer, Team& team);

  int64_t tokens() const {
    return static_cast<int64_t>(corpus_.tokens.size());
  }  // of all documents
  int64_t documents() const { return static_cast<int64_t>(documents_.size()); }
  int64_t sequences() const { return train_; }  // in one epoch of training
  int64_t validation_sequences() const { return static_cast<int64_t>(ranges_.size()) - train_; }

  // Training runs along an endless line of sequences: epoch after epoch, each in an order of its
  // own. `position` is how many have been used before; it is all that a resume has to know.
  TokenBatch batch(int64_t position, int64_t sequences) const;
  // Sequences [first, first + count) of the validation part, always in this order and mask.
  TokenBatch validation_batch(int64_t first, int64_t count) const;

  // Where a sequence comes from, for logs: "corpus.jsonl document 12, token 512".
  std::string describe(int64_t sequence) const;
  // Of tokens, sequences and seed: a resumed run compares it with the one it saved.
  uint64_t fingerprint() const { return fingerprint_; }

 private:
  void read(const Tokenizer& tokenizer, Team& team);
  void read_pairs_of(const Tokenizer& tokenizer, Team& team);
  void cut();
  void append(TokenBatch& batch, int64_t sequence, const RngKey& key, bool evaluation) const;

  DataSpec spec_;
  std::unique_ptr<const Objective> objective_;
  std::vector<std::filesystem::path> files_;
  std::vector<DocumentId> documents_;
  Corpus corpus_;
  std::vector<TokenRange> ranges_;  // of each sequence
  int64_t train_ = 0;
  uint64_t fingerprint_ = 0;
};

}  // namespace stemma
