// Objectives, the data side: what a model is asked about a text. An objective says what stands
// around documents, how the tokens of all of them are cut into sequences, and what a model reads
// and has to answer for one sequence, as a function of a key.
// Errors: Code::kUsage for a spec that cannot work with this tokenizer.
// Thread safety: a const Objective may be used from many threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "data/masking.h"
#include "data/packing.h"
#include "data/permutation.h"
#include "data/span_corruption.h"
#include "text/tokenizer.h"

namespace stemma {

// Replaced-token detection asks what the masked objective does, of the generator.
enum class DataObjective {
  causal,
  prefix,
  masked,
  span_corruption,
  seq2seq,
  permutation,
  replaced
};

// Whether a sequence has a source, which an encoder reads, beside what the decoder writes.
inline bool has_source(DataObjective objective) {
  return objective == DataObjective::span_corruption || objective == DataObjective::seq2seq;
}

// What a masked sequence is made of, and what is asked of it as a whole.
enum class Sentences {
  one,    // one run of text; nothing is asked
  next,   // two, of which the second follows the first in its document, or is from anywhere (BERT)
  order,  // two that follow each other, or stand the wrong way round (ALBERT)
};

struct DataSpec {
  std::vector<std::string> paths = {};  // files, patterns, directories: see readers.h
  DataObjective objective = DataObjective::causal;
  Packing packing = Packing::join;
  int64_t length = 512;
  double validation = 0;
  uint64_t seed = 0;
  MaskSpec mask =
      {};  // masked and replaced; evaluation always masks at the default rate, to be comparable
  Sentences sentences = Sentences::one;  // masked only
  PermutationSpec permutation = {};      // permutation only; evaluation at the default
  SpanSpec spans = {};                   // span corruption only; evaluation at the default
  int64_t target_length = 0;             // sequence to sequence only; 0: length
  int32_t start = 0;                     // what a decoder reads before the target
};

// Sequences back to back, without padding. T tokens, S sequences.
struct TokenBatch {
  std::vector<int32_t> ids;     // [T]
  std::vector<int32_t> start;   // [S + 1], the first is 0, the last T
  std::vector<int32_t> pos;     // [T], from 0 in each sequence
  std::vector<int32_t> types;   // [T], which segment of its sequence; empty where there is one
  std::vector<int32_t> labels;  // [T], what position t has to predict (already shifted for the
                                // causal objective), or kNoLabel
  std::vector<int32_t> sentence_labels;  // [S]: 0 as in the text, 1 not; empty where none is asked
  std::vector<int32_t> prefix;  // [S] tokens that are seen whole; empty where there are none
  // Where there is an order of prediction, that of each token [T] (see Permuted), and the targets
  // [K], within their sequences, with their offsets [S + 1]; labels [K] are theirs.
  std::vector<int32_t> order, targets, target_start;
  // Where sequences have sources, those (ids and labels are then the targets').
  std::vector<int32_t> source_ids, source_start;
  std::vector<int64_t> sequences;  // [S], which sequence of the data: see Dataset::describe()
  int64_t counted = 0;             // labels that are not kNoLabel
};

// The tokens of all documents, one after the other.
struct Corpus {
  std::vector<int32_t> tokens;
  std::vector<int64_t> bounds;   // [documents + 1]
  std::vector<int64_t> targets;  // [documents] of pairs: where the target begins
  std::span<const int32_t> of(const TokenRange& range) const {
    return std::span(tokens).subspan(static_cast<size_t>(range.begin),
                                     static_cast<size_t>(range.end - range.begin));
  }
};

// What objectives know of a vocabulary.
struct Vocabulary {
  explicit Vocabulary(const Tokenizer& tokenizer);
  SpecialTokens special;
  bool adds_bos = false;            // the tokenizer's own template puts BOS before a text,
  bool adds_eos = false;            // EOS behind one
  std::vector<uint8_t> is_special;  // [V]
  std::vector<uint8_t> continues;   // [V]: a piece that goes on with the word before it
  std::vector<int32_t> sentinels;   // <extra_id_0>, <extra_id_1>, ...
};

class Objective {
 public:
  virtual ~Objective() = default;

  // The documents are pairs of a source and a target.
  virtual bool reads_pairs() const { return false; }
  // What stands around each document; between documents only, where `between`.
  struct Around {
    std::optional<int32_t> before, after;
    bool between = false;
    const char* needed =
        nullptr;  // what `after` is called where joined documents cannot do without
  };
  virtual Around around() const { return {}; }

  virtual std::vector<TokenRange> cut(const Corpus& corpus) const = 0;
  // Adds the ids, labels and what else is asked of sequence `i` of `ranges`; pos and start are the
  // caller's. `evaluation` asks at the rates that are comparable between runs.
  virtual void append(TokenBatch& batch, const Corpus& corpus,
                      const std::vector<TokenRange>& ranges, size_t i, const RngKey& key,
                      bool evaluation) const = 0;
};

std::unique_ptr<Objective> make_objective(const DataSpec& spec, Vocabulary vocabulary);

}  // namespace stemma
