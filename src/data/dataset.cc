#include "data/dataset.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>

#include "base/error.h"

namespace stemma {
namespace {

// Documents are tokenised in rounds of about this many bytes, which bounds the memory in use.
constexpr size_t kRoundBytes = size_t{64} << 20;
// A larger document is cut at line ends into pieces that are tokenised by themselves, for the same
// reason; a tokenizer may see one such cut in millions of bytes.
constexpr size_t kPieceBytes = size_t{4} << 20;

std::vector<std::string_view> pieces_of(std::string_view text) {
  std::vector<std::string_view> pieces;
  while (text.size() > kPieceBytes) {
    const size_t line_end = text.find('\n', kPieceBytes);
    if (line_end == text.npos) break;
    pieces.push_back(text.substr(0, line_end + 1));
    text.remove_prefix(line_end + 1);
  }
  if (!text.empty()) pieces.push_back(text);
  return pieces;
}

// Token ids of each text, without special tokens.
std::vector<std::vector<int32_t>> tokenise(std::span<const std::string> texts,
                                           const Tokenizer& tokenizer, Team& team) {
  struct Piece {
    size_t of;
    std::string_view text;
    std::vector<int32_t> ids;
  };
  std::vector<Piece> pieces;
  for (size_t i = 0; i < texts.size(); ++i)
    for (const std::string_view text : pieces_of(texts[i])) pieces.push_back({i, text, {}});
  team.run(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    Piece& piece = pieces[static_cast<size_t>(i)];
    piece.ids = tokenizer.encode(piece.text, {.special_tokens = false}).ids;
  });
  std::vector<std::vector<int32_t>> ids(texts.size());
  for (Piece& piece : pieces) {
    std::vector<int32_t>& all = ids[piece.of];
    if (all.empty())
      all = std::move(piece.ids);
    else
      all.insert(all.end(), piece.ids.begin(), piece.ids.end());
  }
  return ids;
}

}  // namespace

Dataset Dataset::open(const DataSpec& spec, const Tokenizer& tokenizer, Team& team) {
  const auto need = [](bool ok, const auto&... message) {
    if (!ok) fail(Code::kUsage, "[data] ", message...);
  };
  need(!spec.paths.empty(), "no files are named");
  need(spec.validation >= 0 && spec.validation < 1, "validation must be in [0, 1), it is ",
       spec.validation);
  need(spec.length <= INT32_MAX, "length is ", spec.length, ", more than 2^31 - 1");
  Dataset data;
  data.spec_ = spec;
  data.objective_ = make_objective(spec, Vocabulary(tokenizer));
  data.files_ = find_data_files(spec.paths);
  if (data.objective_->reads_pairs())
    data.read_pairs_of(tokenizer, team);
  else
    data.read(tokenizer, team);
  data.cut();
  return data;
}

void Dataset::read(const Tokenizer& tokenizer, Team& team) {
  const Objective::Around around = objective_->around();
  std::vector<DocumentId> round;
  std::vector<std::string> texts;
  size_t bytes = 0;
  const auto flush = [&] {
    const auto ids = tokenise(texts, tokenizer, team);
    for (size_t i = 0; i < round.size(); ++i) {
      if (ids[i].empty()) continue;
      documents_.push_back(round[i]);
      corpus_.bounds.push_back(tokens());
      if (around.before) corpus_.tokens.push_back(*around.before);
      corpus_.tokens.insert(corpus_.tokens.end(), ids[i].begin(), ids[i].end());
      if (around.after) corpus_.tokens.push_back(*around.after);
    }
    round.clear();
    texts.clear();
    bytes = 0;
  };
  read_documents(files_, [&](Document&& document) {
    bytes += document.text.size();
    round.push_back(document.id);
    texts.push_back(std::move(document.text));
    if (bytes >= kRoundBytes) flush();
  });
  flush();
  if (around.between && around.after && !corpus_.tokens.empty()) corpus_.tokens.pop_back();
  corpus_.bounds.push_back(tokens());
  check(around.after || !around.needed || documents_.size() < 2 ||
            spec_.packing == Packing::documents,
        "[data] the tokenizer has no ", around.needed ? around.needed : "",
        " token to set between documents; use packing = documents");
}

// A pair's source and its target lie one after the other.
void Dataset::read_pairs_of(const Tokenizer& tokenizer, Team& team) {
  std::vector<DocumentId> round;
  std::vector<std::string> texts;
  size_t bytes = 0;
  const auto flush = [&] {
    const auto ids = tokenise(texts, tokenizer, team);
    for (size_t i = 0; i < round.size(); ++i) {
      documents_.push_back(round[i]);
      corpus_.bounds.push_back(tokens());
      corpus_.tokens.insert(corpus_.tokens.end(), ids[2 * i].begin(), ids[2 * i].end());
      corpus_.targets.push_back(tokens());
      corpus_.tokens.insert(corpus_.tokens.end(), ids[2 * i + 1].begin(), ids[2 * i + 1].end());
    }
    round.clear();
    texts.clear();
    bytes = 0;
  };
  read_pairs(files_, [&](Pair&& pair) {
    bytes += pair.source.size() + pair.target.size();
    round.push_back(pair.id);
    texts.push_back(std::move(pair.source));
    texts.push_back(std::move(pair.target));
    if (bytes >= kRoundBytes) flush();
  });
  flush();
  corpus_.bounds.push_back(tokens());
}

void Dataset::cut() {
  ranges_ = objective_->cut(corpus_);
  const auto all = static_cast<int64_t>(ranges_.size());
  int64_t kept = std::llround(spec_.validation * static_cast<double>(all));
  if (spec_.validation > 0) kept = std::max<int64_t>(kept, 1);
  train_ = all - kept;
  check(train_ > 0, "[data] ", tokens(), " tokens in ", documents(), " documents of ",
        files_.size(), " files give ", all, " sequences, ", kept,
        " of them for validation: nothing is left to train on");

  uint64_t hash = mix64(spec_.seed);
  const auto add = [&](int64_t value) { hash = mix64(hash ^ static_cast<uint64_t>(value)); };
  add(static_cast<int64_t>(spec_.objective));
  add(train_);
  for (const int32_t token : corpus_.tokens) add(token);
  for (const TokenRange& range : ranges_) add(range.begin), add(range.end);
  for (const int64_t target : corpus_.targets) add(target);
  fingerprint_ = hash;
}

TokenBatch Dataset::batch(int64_t position, int64_t sequences) const {
  check(position >= 0 && sequences > 0, "[data] a batch of ", sequences, " sequences at ",
        position);
  const RngKey seed(spec_.seed), order = seed.of("data.order"), mask = seed.of("data.mask");
  TokenBatch batch;
  batch.start.push_back(0);
  for (int64_t i = position; i < position + sequences; ++i) {
    const auto epoch = static_cast<uint64_t>(i / train_), place = static_cast<uint64_t>(i % train_);
    const uint64_t sequence = order.at(epoch).permuted(place, static_cast<uint64_t>(train_));
    const uint64_t way =
        spec_.mask.copies > 0 ? epoch % static_cast<uint64_t>(spec_.mask.copies) : epoch;
    append(batch, static_cast<int64_t>(sequence), mask.at(way).at(sequence), false);
  }
  return batch;
}

TokenBatch Dataset::validation_batch(int64_t first, int64_t count) const {
  check(first >= 0 && count > 0 && first + count <= validation_sequences(), "[data] sequences ",
        first, " to ", first + count, " of ", validation_sequences(), " for validation");
  const RngKey mask = RngKey(spec_.seed).of("data.validation");
  TokenBatch batch;
  batch.start.push_back(0);
  for (int64_t i = train_ + first; i < train_ + first + count; ++i)
    append(batch, i, mask.at(static_cast<uint64_t>(i)), true);
  return batch;
}

void Dataset::append(TokenBatch& batch, int64_t sequence, const RngKey& key,
                     bool evaluation) const {
  const size_t first = batch.ids.size(), labelled = batch.labels.size();
  objective_->append(batch, corpus_, ranges_, static_cast<size_t>(sequence), key, evaluation);
  check(batch.ids.size() <= INT32_MAX, "[data] a batch of more than 2^31 - 1 tokens");
  batch.pos.resize(batch.ids.size());
  std::iota(batch.pos.begin() + static_cast<int64_t>(first), batch.pos.end(), 0);
  batch.start.push_back(static_cast<int32_t>(batch.ids.size()));
  batch.sequences.push_back(sequence);
  batch.counted += std::count_if(batch.labels.begin() + static_cast<int64_t>(labelled),
                                 batch.labels.end(), [](int32_t label) { return label >= 0; });
}

std::string Dataset::describe(int64_t sequence) const {
  check(sequence >= 0 && sequence < static_cast<int64_t>(ranges_.size()), "[data] sequence ",
        sequence, " of ", ranges_.size());
  const int64_t begin = ranges_[static_cast<size_t>(sequence)].begin;
  const auto next = std::ranges::upper_bound(corpus_.bounds, begin);
  const auto document = static_cast<size_t>(next - corpus_.bounds.begin()) - 1;
  const DocumentId id = documents_[document];
  return cat(files_[static_cast<size_t>(id.file)].string(), " document ", id.index + 1, ", token ",
             begin - corpus_.bounds[document]);
}

}  // namespace stemma
