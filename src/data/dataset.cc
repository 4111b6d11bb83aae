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

// Token ids of each document, without special tokens.
std::vector<std::vector<int32_t>> tokenise(const std::vector<Document>& documents,
                                           const Tokenizer& tokenizer, Team& team) {
  struct Piece {
    size_t document;
    std::string_view text;
    std::vector<int32_t> ids;
  };
  std::vector<Piece> pieces;
  for (size_t i = 0; i < documents.size(); ++i)
    for (const std::string_view text : pieces_of(documents[i].text))
      pieces.push_back({i, text, {}});
  team.run(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    Piece& piece = pieces[static_cast<size_t>(i)];
    piece.ids = tokenizer.encode(piece.text, {.special_tokens = false}).ids;
  });
  std::vector<std::vector<int32_t>> ids(documents.size());
  for (Piece& piece : pieces) {
    std::vector<int32_t>& all = ids[piece.document];
    if (all.empty())
      all = std::move(piece.ids);
    else
      all.insert(all.end(), piece.ids.begin(), piece.ids.end());
  }
  return ids;
}

// Whether the tokenizer's own template puts BOS before a text.
bool adds_bos(const Tokenizer& tokenizer) {
  const std::vector<int32_t> ids = tokenizer.encode("").ids;
  return tokenizer.special().bos && !ids.empty() && ids.front() == *tokenizer.special().bos;
}

}  // namespace

Dataset Dataset::open(const DataSpec& spec, const Tokenizer& tokenizer, Team& team) {
  Dataset data;
  data.spec_ = spec;
  data.special_ = tokenizer.special();
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id)
    data.is_special_.push_back(tokenizer.is_special(id));
  data.check_spec();
  data.files_ = find_data_files(spec.paths);
  data.read(tokenizer, team);
  data.cut();
  return data;
}

void Dataset::check_spec() const {
  const auto need = [](bool ok, const auto&... message) {
    if (!ok) fail(Code::kUsage, "[data] ", message...);
  };
  const bool masked = spec_.objective == DataObjective::masked;
  need(!spec_.paths.empty(), "no files are named");
  need(spec_.validation >= 0 && spec_.validation < 1, "validation must be in [0, 1), it is ",
       spec_.validation);
  const int64_t shortest = masked ? 1 + special_.cls.has_value() + special_.sep.has_value() : 1;
  need(spec_.length >= shortest && spec_.length <= INT32_MAX, "length must be at least ", shortest,
       ", it is ", spec_.length);
  need(!masked || special_.mask, "the masked objective needs a tokenizer with a mask token");
  if (masked) check_mask(spec_.mask);
}

void Dataset::read(const Tokenizer& tokenizer, Team& team) {
  const bool causal = spec_.objective == DataObjective::causal;
  const std::optional<int32_t> before = causal && adds_bos(tokenizer) ? special_.bos : std::nullopt;
  // Masked sequences of single documents get their SEP when they are cut.
  const std::optional<int32_t> after = causal                           ? special_.eos
                                       : spec_.packing == Packing::join ? special_.sep
                                                                        : std::nullopt;
  std::vector<Document> round;
  size_t bytes = 0;
  const auto flush = [&] {
    const auto ids = tokenise(round, tokenizer, team);
    for (size_t i = 0; i < round.size(); ++i) {
      if (ids[i].empty()) continue;
      documents_.push_back(round[i].id);
      bounds_.push_back(tokens());
      if (before) tokens_.push_back(*before);
      tokens_.insert(tokens_.end(), ids[i].begin(), ids[i].end());
      if (after) tokens_.push_back(*after);
    }
    round.clear();
    bytes = 0;
  };
  read_documents(files_, [&](Document&& document) {
    bytes += document.text.size();
    round.push_back(std::move(document));
    if (bytes >= kRoundBytes) flush();
  });
  flush();
  // Between masked documents, not behind the last one.
  if (!causal && after && !tokens_.empty()) tokens_.pop_back();
  bounds_.push_back(tokens());
  check(after || documents_.size() < 2 || spec_.packing == Packing::documents,
        "[data] the tokenizer has no ", causal ? "EOS" : "SEP",
        " token to set between documents; use packing = documents");
}

void Dataset::cut() {
  if (spec_.objective == DataObjective::causal) {
    ranges_ = cut_sequences(bounds_, spec_.packing, spec_.length + 1, 1);
  } else {
    const int64_t added = special_.cls.has_value() + special_.sep.has_value();
    ranges_ = cut_sequences(bounds_, spec_.packing, spec_.length - added, 0);
  }
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
  for (const int32_t token : tokens_) add(token);
  for (const TokenRange& range : ranges_) add(range.begin), add(range.end);
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
    append(batch, static_cast<int64_t>(sequence), spec_.mask, mask.at(epoch).at(sequence));
  }
  return batch;
}

TokenBatch Dataset::validation_batch(int64_t first, int64_t count) const {
  check(first >= 0 && count > 0 && first + count <= validation_sequences(), "[data] sequences ",
        first, " to ", first + count, " of ", validation_sequences(), " for validation");
  const RngKey mask = RngKey(spec_.seed).of("data.validation");
  MaskSpec usual = spec_.mask;
  usual.rate = MaskSpec().rate;
  TokenBatch batch;
  batch.start.push_back(0);
  for (int64_t i = train_ + first; i < train_ + first + count; ++i)
    append(batch, i, usual, mask.at(static_cast<uint64_t>(i)));
  return batch;
}

void Dataset::append(TokenBatch& batch, int64_t sequence, const MaskSpec& mask,
                     const RngKey& key) const {
  const TokenRange range = ranges_[static_cast<size_t>(sequence)];
  const auto begin = tokens_.begin() + range.begin, end = tokens_.begin() + range.end;
  const size_t first = batch.ids.size();
  if (spec_.objective == DataObjective::causal) {
    batch.ids.insert(batch.ids.end(), begin, end - 1);
    batch.labels.insert(batch.labels.end(), begin + 1, end);
  } else {
    if (special_.cls) batch.ids.push_back(*special_.cls);
    batch.ids.insert(batch.ids.end(), begin, end);
    if (special_.sep) batch.ids.push_back(*special_.sep);
    batch.labels.resize(batch.ids.size());
    mask_tokens(std::span(batch.ids).subspan(first), std::span(batch.labels).subspan(first),
                is_special_, *special_.mask, mask, key);
  }
  check(batch.ids.size() <= INT32_MAX, "[data] a batch of more than 2^31 - 1 tokens");
  batch.pos.resize(batch.ids.size());
  std::iota(batch.pos.begin() + static_cast<int64_t>(first), batch.pos.end(), 0);
  batch.start.push_back(static_cast<int32_t>(batch.ids.size()));
  batch.sequences.push_back(sequence);
  batch.counted += std::count_if(batch.labels.begin() + static_cast<int64_t>(first),
                                 batch.labels.end(), [](int32_t label) { return label >= 0; });
}

std::string Dataset::describe(int64_t sequence) const {
  check(sequence >= 0 && sequence < static_cast<int64_t>(ranges_.size()), "[data] sequence ",
        sequence, " of ", ranges_.size());
  const int64_t begin = ranges_[static_cast<size_t>(sequence)].begin;
  const auto next = std::ranges::upper_bound(bounds_, begin);
  const auto document = static_cast<size_t>(next - bounds_.begin()) - 1;
  const DocumentId id = documents_[document];
  return cat(files_[static_cast<size_t>(id.file)].string(), " document ", id.index + 1, ", token ",
             begin - bounds_[document]);
}

}  // namespace stemma
