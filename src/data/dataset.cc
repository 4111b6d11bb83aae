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

// Whether the tokenizer's own template puts BOS before a text.
bool adds_bos(const Tokenizer& tokenizer) {
  const std::vector<int32_t> ids = tokenizer.encode("").ids;
  return tokenizer.special().bos && !ids.empty() && ids.front() == *tokenizer.special().bos;
}

bool adds_eos(const Tokenizer& tokenizer) {
  const std::vector<int32_t> ids = tokenizer.encode("").ids;
  return tokenizer.special().eos && !ids.empty() && ids.back() == *tokenizer.special().eos;
}

}  // namespace

Dataset Dataset::open(const DataSpec& spec, const Tokenizer& tokenizer, Team& team) {
  Dataset data;
  data.spec_ = spec;
  data.special_ = tokenizer.special();
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id)
    data.is_special_.push_back(tokenizer.is_special(id));
  data.source_ends_ = adds_eos(tokenizer);
  for (int i = 0;; ++i) {
    const auto id = tokenizer.id(cat("<extra_id_", i, ">"));
    if (!id) break;
    data.sentinels_.push_back(*id);
  }
  data.check_spec();
  data.files_ = find_data_files(spec.paths);
  if (spec.objective == DataObjective::seq2seq)
    data.read_targets(tokenizer, team);
  else
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
  if (!has_source(spec_.objective)) return;
  need(special_.eos.has_value(), "a target ends with EOS, which the tokenizer does not have");
  need(spec_.length >= 2, "length must be at least 2, it is ", spec_.length);
  need(spec_.objective != DataObjective::seq2seq || spec_.target_length != 1,
       "target_length has no room beside EOS");
  if (spec_.objective != DataObjective::span_corruption) return;
  for (const SpanSpec& spans : {spec_.spans, SpanSpec()}) {
    check_spans(spans);
    const int64_t wanted = noise_of(lengths_for(spec_.length, spans).tokens, spans).spans;
    need(wanted <= static_cast<int64_t>(sentinels_.size()), "a source of ", spec_.length,
         " tokens has ", wanted, " spans, and the tokenizer ", sentinels_.size(),
         " sentinels (<extra_id_0>, <extra_id_1>, ...)");
  }
}

void Dataset::read(const Tokenizer& tokenizer, Team& team) {
  const bool causal =
      spec_.objective == DataObjective::causal || spec_.objective == DataObjective::prefix;
  const std::optional<int32_t> before = causal && adds_bos(tokenizer) ? special_.bos : std::nullopt;
  // Masked sequences of single documents get their SEP when they are cut.
  const bool masked = spec_.objective == DataObjective::masked;
  const std::optional<int32_t> after = causal                                     ? special_.eos
                                       : masked && spec_.packing == Packing::join ? special_.sep
                                                                                  : std::nullopt;
  std::vector<DocumentId> round;
  std::vector<std::string> texts;
  size_t bytes = 0;
  const auto flush = [&] {
    const auto ids = tokenise(texts, tokenizer, team);
    for (size_t i = 0; i < round.size(); ++i) {
      if (ids[i].empty()) continue;
      documents_.push_back(round[i]);
      bounds_.push_back(tokens());
      if (before) tokens_.push_back(*before);
      tokens_.insert(tokens_.end(), ids[i].begin(), ids[i].end());
      if (after) tokens_.push_back(*after);
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
  // Between masked documents, not behind the last one.
  if (!causal && after && !tokens_.empty()) tokens_.pop_back();
  bounds_.push_back(tokens());
  check(
      after || !(causal || masked) || documents_.size() < 2 || spec_.packing == Packing::documents,
      "[data] the tokenizer has no ", causal ? "EOS" : "SEP",
      " token to set between documents; use packing = documents");
}

// A pair's source and its target lie one after the other.
void Dataset::read_targets(const Tokenizer& tokenizer, Team& team) {
  std::vector<DocumentId> round;
  std::vector<std::string> texts;
  size_t bytes = 0;
  const auto flush = [&] {
    const auto ids = tokenise(texts, tokenizer, team);
    for (size_t i = 0; i < round.size(); ++i) {
      documents_.push_back(round[i]);
      bounds_.push_back(tokens());
      tokens_.insert(tokens_.end(), ids[2 * i].begin(), ids[2 * i].end());
      targets_.push_back(tokens());
      tokens_.insert(tokens_.end(), ids[2 * i + 1].begin(), ids[2 * i + 1].end());
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
  bounds_.push_back(tokens());
}

void Dataset::cut() {
  if (spec_.objective == DataObjective::causal || spec_.objective == DataObjective::prefix) {
    ranges_ = cut_sequences(bounds_, spec_.packing, spec_.length + 1, 1);
  } else if (spec_.objective == DataObjective::span_corruption) {
    ranges_ =
        cut_sequences(bounds_, spec_.packing, lengths_for(spec_.length, spec_.spans).tokens, 0);
    // A token alone is neither noise nor the rest.
    std::erase_if(ranges_, [](const TokenRange& range) { return range.end - range.begin < 2; });
  } else if (spec_.objective == DataObjective::seq2seq) {
    for (size_t i = 0; i < documents_.size(); ++i) ranges_.push_back({bounds_[i], bounds_[i + 1]});
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
  for (const int64_t target : targets_) add(target);
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
    append(batch, static_cast<int64_t>(sequence), spec_.mask, spec_.spans,
           mask.at(epoch).at(sequence));
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
    append(batch, i, usual, SpanSpec(), mask.at(static_cast<uint64_t>(i)));
  return batch;
}

// The decoder reads the start token and then the target, each token of which it has to predict.
void Dataset::append_pair(TokenBatch& batch, Corrupted&& pair) const {
  if (batch.source_start.empty()) batch.source_start.push_back(0);
  if (!source_ends_) pair.source.pop_back();
  batch.source_ids.insert(batch.source_ids.end(), pair.source.begin(), pair.source.end());
  check(batch.source_ids.size() <= INT32_MAX, "[data] a batch of more than 2^31 - 1 tokens");
  batch.source_start.push_back(static_cast<int32_t>(batch.source_ids.size()));
  batch.ids.push_back(spec_.start);
  batch.ids.insert(batch.ids.end(), pair.target.begin(), pair.target.end() - 1);
  batch.labels.insert(batch.labels.end(), pair.target.begin(), pair.target.end());
}

void Dataset::append(TokenBatch& batch, int64_t sequence, const MaskSpec& mask,
                     const SpanSpec& spans, const RngKey& key) const {
  const TokenRange range = ranges_[static_cast<size_t>(sequence)];
  const auto begin = tokens_.begin() + range.begin, end = tokens_.begin() + range.end;
  const size_t first = batch.ids.size();
  if (spec_.objective == DataObjective::causal || spec_.objective == DataObjective::prefix) {
    batch.ids.insert(batch.ids.end(), begin, end - 1);
    batch.labels.insert(batch.labels.end(), begin + 1, end);
    if (spec_.objective == DataObjective::prefix) {
      const auto most = static_cast<uint64_t>(end - begin - 1);
      const auto prefix = static_cast<int64_t>(1 + key.of("prefix").below(0, most));
      batch.prefix.push_back(static_cast<int32_t>(prefix));
      // The prefix's last token is the first to predict one behind it.
      std::fill_n(batch.labels.begin() + static_cast<int64_t>(first), prefix - 1, kNoLabel);
    }
  } else if (spec_.objective == DataObjective::span_corruption) {
    append_pair(batch, corrupt_spans({begin, end}, sentinels_, special_.eos, spans, key));
  } else if (spec_.objective == DataObjective::seq2seq) {
    const auto middle = tokens_.begin() + targets_[static_cast<size_t>(sequence)];
    const auto ended = [&](auto from, auto to, int64_t most) {
      std::vector<int32_t> ids(from, from + std::min<int64_t>(to - from, most - 1));
      ids.push_back(*special_.eos);
      return ids;
    };
    const int64_t most = spec_.target_length > 0 ? spec_.target_length : spec_.length;
    append_pair(batch, {ended(begin, middle, spec_.length), ended(middle, end, most)});
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
