// Dataset: the data side of causal and masked language modelling, and of what a sequence to
// sequence model learns from: corrupted spans of plain text, or pairs. Opening reads and tokenises
// the files and cuts them into sequences; batches are then a pure function of (data, spec,
// position).
//
// Causal: a document is [BOS where the tokenizer adds one] text EOS. Sequences have `length` input
// tokens, and together predict each token of a text but its first exactly once.
// Prefix: causal sequences, each cut at random in each epoch; its first part is all seen at once, and
// the rest is predicted.
// Masked: sequences are [CLS] tokens [SEP] (where the tokenizer has these) of at most `length`,
// masked anew in each epoch; joined documents are told apart by SEP.
// Span corruption: as many tokens as make a source of `length`; joined documents run on without a
// mark (see span_corruption.h; sentinels are the tokens <extra_id_0>, <extra_id_1>, ...).
// Sequence to sequence: a pair each, cut to `length` and `target_length`, EOS included. A source
// ends with EOS where the tokenizer itself would add it, so that it is what a prompt will be.
// The last sequence of a text may be shorter. The last `validation` share of the sequences, in the
// order of the data, is kept for evaluation (at least one, where the share is not 0).
// Errors: see readers.h; Code::kUsage for a spec that cannot work, Code::kFailed for data without
// a sequence to train on. Thread safety: a const Dataset may be used from many threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/team.h"
#include "data/masking.h"
#include "data/packing.h"
#include "data/readers.h"
#include "data/span_corruption.h"
#include "text/tokenizer.h"

namespace stemma {

enum class DataObjective { causal, prefix, masked, span_corruption, seq2seq };

// Whether a sequence has a source, which an encoder reads, beside what the decoder writes.
inline bool has_source(DataObjective objective) {
  return objective == DataObjective::span_corruption || objective == DataObjective::seq2seq;
}

struct DataSpec {
  std::vector<std::string> paths = {};  // files, patterns, directories: see readers.h
  DataObjective objective = DataObjective::causal;
  Packing packing = Packing::join;
  int64_t length = 512;
  double validation = 0;
  uint64_t seed = 0;
  MaskSpec mask = {};  // masked only; evaluation always masks at the default rate, to be comparable
  SpanSpec spans = {};        // span corruption only; evaluation likewise
  int64_t target_length = 0;  // sequence to sequence only; 0: length
  int32_t start = 0;          // what a decoder reads before the target
};

// Sequences back to back, without padding. T tokens, S sequences.
struct TokenBatch {
  std::vector<int32_t> ids;     // [T]
  std::vector<int32_t> start;   // [S + 1], the first is 0, the last T
  std::vector<int32_t> pos;     // [T], from 0 in each sequence
  std::vector<int32_t> labels;  // [T], what position t has to predict (already shifted for the
                                // causal objective), or kNoLabel
  std::vector<int32_t> prefix;  // [S] tokens of each sequence's prefix, where it has one
  // Where sequences have sources, those (ids and labels are then the targets').
  std::vector<int32_t> source_ids, source_start;
  std::vector<int64_t> sequences;  // [S], which sequence of the data: see describe()
  int64_t counted = 0;             // labels that are not kNoLabel
};

class Dataset {
 public:
  // The result does not depend on the size of the team.
  static Dataset open(const DataSpec& spec, const Tokenizer& tokenizer, Team& team);

  int64_t tokens() const { return static_cast<int64_t>(tokens_.size()); }  // of all documents
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
  void check_spec() const;
  void read(const Tokenizer& tokenizer, Team& team);
  void read_targets(const Tokenizer& tokenizer, Team& team);
  void cut();
  void append(TokenBatch& batch, int64_t sequence, const MaskSpec& mask, const SpanSpec& spans,
              const RngKey& key) const;
  void append_pair(TokenBatch& batch, Corrupted&& pair) const;

  DataSpec spec_;
  SpecialTokens special_;
  std::vector<uint8_t> is_special_;  // [vocabulary]
  std::vector<int32_t> sentinels_;
  bool source_ends_ = false;  // with EOS
  std::vector<std::filesystem::path> files_;
  std::vector<DocumentId> documents_;
  std::vector<int64_t> bounds_;  // [documents + 1]
  std::vector<int32_t> tokens_;
  std::vector<int64_t> targets_;    // [documents] of pairs: where the target begins
  std::vector<TokenRange> ranges_;  // of each sequence
  int64_t train_ = 0;
  uint64_t fingerprint_ = 0;
};

}  // namespace stemma
