#include "model/state.h"

#include <algorithm>
#include <cstring>

#include "base/sha256.h"
#include "nn/mixer.h"

namespace stemma {
namespace {

// Snapshots that a sequence keeps of recurrent states, the latest ones.
constexpr size_t kSnapshots = 8;
constexpr int kPageTokens = KvLayout::kTokens;
// Windows forget this many tokens late, so that a rollback by a few stays exact.
constexpr int kSlack = kPageTokens;

size_t tensor_bytes(const RecurrentSpec& spec) {
  return static_cast<size_t>(spec.shape.elements() * dtype_bits(spec.dtype) / 8);
}

int64_t page_bytes(const KvLayout& layout) { return Pool::footprint(layout.bytes()); }

int pages_for(int tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

}  // namespace

std::vector<StateSpec> state_specs(const ModelSpec& spec, DType kv) {
  std::vector<StateSpec> out;
  const StackSpec& stack = spec.stack();
  for (size_t e = 0; e < stack.executions(); ++e) {
    const BlockSpec& block = stack.blocks[stack.block_of(e)];
    add_state(block.mixer, kv, out);
    if (block.cross) add_cross_state(*block.cross, kv, out);
  }
  return out;
}

StateStore::StateStore(std::vector<StateSpec> specs, int64_t budget_bytes)
    : specs_(std::move(specs)), budget_(budget_bytes) {
  for (const StateSpec& spec : specs_) {
    if (const auto* from = std::get_if<KvFrom>(&spec)) {
      const auto of = static_cast<size_t>(from->state);
      check(of < specs_.size() && std::holds_alternative<KvSpec>(specs_[of]), "[state] state ",
            from->state, " has no keys and values to be read by another");
    } else if (const auto* recurrent = std::get_if<RecurrentSpec>(&spec)) {
      check(recurrent->snapshot_every > 0, "[state] snapshots every ", recurrent->snapshot_every,
            " tokens; it must be 1 or more");
      recurrent_size_ += static_cast<int64_t>(tensor_bytes(*recurrent));
      snapshot_every_ = snapshot_every_ == 0 ? recurrent->snapshot_every
                                             : std::min(snapshot_every_, recurrent->snapshot_every);
    }
  }
}

int StateStore::Snapshot::length() const { return memory_ ? memory_->length : 0; }

StateStore::Memory StateStore::fresh() const {
  Memory memory;
  for (const StateSpec& spec : specs_)
    if (std::holds_alternative<RecurrentSpec>(spec))
      memory.layers.emplace_back(Tensor());
    else
      memory.layers.emplace_back(PageTable());
  return memory;
}

StateStore::Sequence& StateStore::at(SeqId seq) {
  auto it = sequences_.find(seq);
  check(it != sequences_.end(), "[state] there is no sequence ", seq);
  return it->second;
}
const StateStore::Sequence& StateStore::at(SeqId seq) const {
  return const_cast<StateStore*>(this)->at(seq);
}

int StateStore::length(SeqId seq) const {
  auto it = sequences_.find(seq);
  return it == sequences_.end() ? 0 : it->second.now.length;
}

// The first page that a query behind `length` tokens, or kSlack before, may see.
int StateStore::first_page(const KvSpec& kv, int length) const {
  return kv.window == 0 ? 0 : std::max(0, length - kSlack - kv.window + 1) / kPageTokens;
}

int StateStore::source_length(SeqId seq) const {
  auto it = sequences_.find(seq);
  return it == sequences_.end() ? 0 : it->second.now.source_length;
}

bool StateStore::reserve(SeqId seq, int tokens, int source_tokens) {
  const bool is_new = !has(seq);
  Memory made = is_new ? fresh() : Memory();
  Memory& memory = is_new ? made : at(seq).now;

  // Pages to be had: missing ones, and the last one where others hold it too.
  auto each_wanted = [&](auto&& visit) {
    for (size_t l = 0; l < specs_.size(); ++l) {
      if (const auto* source = std::get_if<SourceKvSpec>(&specs_[l])) {
        auto& table = std::get<PageTable>(memory.layers[l]);
        for (int page = table.end(); page < pages_for(source_tokens); ++page)
          visit(source->layout, table, page);
      }
      const auto* kv = std::get_if<KvSpec>(&specs_[l]);
      if (!kv || tokens <= memory.length) continue;
      auto& table = std::get<PageTable>(memory.layers[l]);
      const int next = memory.length / kPageTokens;
      if (next < table.end() && table[next].use_count() > 1) visit(kv->layout, table, next);
      for (int page = std::max(next, table.end()); page < pages_for(tokens); ++page)
        visit(kv->layout, table, page);
    }
  };
  int64_t wanted = is_new ? recurrent_size_ : 0;
  each_wanted([&](const KvLayout& layout, PageTable&, int) { wanted += page_bytes(layout); });
  if (wanted > 0 && wanted > budget_ - bytes()) return false;

  each_wanted([&](const KvLayout& layout, PageTable& table, int page) {
    const auto size = static_cast<size_t>(layout.bytes());
    Buffer buffer = pages_.allocate(size);
    if (page < table.end()) {
      std::memcpy(buffer.get(), table[page].get(), size);
      table[page] = std::move(buffer);
    } else {
      table.pages.push_back(std::move(buffer));
    }
  });
  if (is_new) sequences_[seq].now = std::move(made);
  return true;
}

int64_t StateStore::bytes_for(int tokens, int source_tokens) const {
  int64_t total = recurrent_size_;
  for (const StateSpec& spec : specs_)
    if (const auto* kv = std::get_if<KvSpec>(&spec)) {
      const int most =
          kv->window == 0 ? tokens : std::min(tokens, kv->window + kSlack + kPageTokens);
      total += pages_for(most) * page_bytes(kv->layout);
    } else if (const auto* source = std::get_if<SourceKvSpec>(&spec)) {
      total += pages_for(source_tokens) * page_bytes(source->layout);
    }
  return total;
}

void StateStore::release(SeqId seq) { sequences_.erase(seq); }

void StateStore::fork(SeqId from, SeqId to) {
  check(!has(to), "[state] sequence ", to, " exists and cannot become a fork of ", from);
  Sequence copy = at(from);
  truncate(copy.now, copy.now.length);  // pages in reserve stay with the one who reserved them
  sequences_[to] = std::move(copy);
}

StateStore::Snapshot StateStore::snapshot(SeqId seq) const {
  auto memory = std::make_shared<Memory>(at(seq).now);
  truncate(*memory, memory->length);
  Snapshot out;
  out.store_ = this;
  out.memory_ = std::move(memory);
  return out;
}

void StateStore::rollback(SeqId seq, const Snapshot& snapshot) {
  Sequence& sequence = at(seq);
  check(snapshot.store_ == this, "[state] rollback of sequence ", seq,
        " to a snapshot of another store");
  sequence.now = *snapshot.memory_;
  std::erase_if(sequence.kept, [&](const Snapshot& s) { return s.length() > sequence.now.length; });
}

bool StateStore::can_truncate(const Memory& memory, int length) const {
  if (length == memory.length || length == 0) return true;
  for (size_t l = 0; l < specs_.size(); ++l) {
    if (std::holds_alternative<RecurrentSpec>(specs_[l])) return false;
    const auto* kv = std::get_if<KvSpec>(&specs_[l]);
    if (!kv || kv->window == 0) continue;
    const auto& table = std::get<PageTable>(memory.layers[l]);
    if (table.first > std::max(0, length - kv->window + 1) / kPageTokens) return false;
  }
  return true;
}

void StateStore::truncate(Memory& memory, int length) const {
  if (length == 0) {
    memory = fresh();
    return;
  }
  memory.length = length;
  for (size_t l = 0; l < specs_.size(); ++l)
    if (auto* table = std::get_if<PageTable>(&memory.layers[l])) {
      const bool of_source = std::holds_alternative<SourceKvSpec>(specs_[l]);
      while (table->end() > pages_for(of_source ? memory.source_length : length))
        table->pages.pop_back();
    }
}

int StateStore::rollback(SeqId seq, int length) {
  Sequence& sequence = at(seq);
  check(length >= 0 && length <= sequence.now.length, "[state] rollback of sequence ", seq, " to ",
        length, " tokens; it has ", sequence.now.length);
  std::erase_if(sequence.kept, [&](const Snapshot& s) { return s.length() > length; });
  if (can_truncate(sequence.now, length))
    truncate(sequence.now, length);
  else if (!sequence.kept.empty())
    sequence.now = *sequence.kept.back().memory_;
  else
    sequence.now = fresh();
  return sequence.now.length;
}

int64_t StateStore::recurrent_bytes() const {
  if (recurrent_size_ == 0) return 0;
  int64_t held = 0;
  for (const auto& [id, sequence] : sequences_)
    held += 1 + static_cast<int64_t>(sequence.kept.size());
  return held * recurrent_size_;
}

int64_t StateStore::bytes() const { return pages_.bytes_in_use() + recurrent_bytes(); }

PoolVector<LayerState> StateStore::begin(const Batch& batch, std::pmr::memory_resource* memory) {
  PoolVector<LayerState> out(memory);
  out.reserve(specs_.size());
  PoolVector<int32_t> past(memory), source_past(memory);
  for (size_t s = 0; s < batch.seqs.size(); ++s) {
    const SeqId seq = batch.seqs[s];
    past.push_back(length(seq));
    source_past.push_back(source_length(seq));
    const int brings = batch.source ? batch.source->start[s + 1] - batch.source->start[s] : 0;
    check(brings == 0 || source_past.back() == 0, "[state] sequence ", seq,
          " brings a source and has read one before");
    check(reserve(seq, past.back() + batch.main.start[s + 1] - batch.main.start[s], brings),
          "[state] no room for sequence ", seq, " within ", budget_, " bytes");
  }
  for (size_t l = 0; l < specs_.size(); ++l) {
    if (std::holds_alternative<RecurrentSpec>(specs_[l])) {
      RecurrentState state{PoolVector<Tensor>(memory), PoolVector<Tensor>(memory)};
      for (SeqId seq : batch.seqs) state.in.push_back(std::get<Tensor>(at(seq).now.layers[l]));
      state.out.resize(batch.seqs.size());
      out.emplace_back(std::move(state));
      continue;
    }
    const auto* from = std::get_if<KvFrom>(&specs_[l]);
    const size_t place = from ? static_cast<size_t>(from->state) : l;
    const auto* source = std::get_if<SourceKvSpec>(&specs_[l]);
    KvState state{{source ? source->layout : std::get<KvSpec>(specs_[place]).layout,
                   PoolVector<KvPages>(memory)},
                  source ? source_past : past,
                  from != nullptr,
                  PoolVector<PoolVector<std::byte*>>(memory)};
    for (SeqId seq : batch.seqs) {
      Memory& held = at(seq).now;
      auto& table = std::get<PageTable>(held.layers[place]);
      KvPages& pages = state.kv.sequences.emplace_back(PoolVector<const std::byte*>(memory));
      pages.first_page = table.first;
      for (const Buffer& page : table.pages) pages.pages.push_back(page.get());
      auto& open = state.open.emplace_back(memory);
      const int written = source ? held.source_length : held.length;
      for (int page = written / kPageTokens; page < table.end(); ++page)
        open.push_back(table[page].get());
    }
    out.emplace_back(std::move(state));
  }
  return out;
}

void StateStore::advance(const Batch& batch, std::span<const LayerState> layers) {
  for (size_t s = 0; s < batch.seqs.size(); ++s) {
    Sequence& sequence = at(batch.seqs[s]);
    const int before = sequence.now.length;
    const int length = sequence.now.length += batch.main.start[s + 1] - batch.main.start[s];
    if (batch.source)
      sequence.now.source_length += batch.source->start[s + 1] - batch.source->start[s];
    for (size_t l = 0; l < specs_.size(); ++l) {
      if (const auto* kv = std::get_if<KvSpec>(&specs_[l])) {
        auto& table = std::get<PageTable>(sequence.now.layers[l]);
        const int forgotten = first_page(*kv, length) - table.first;
        if (forgotten > 0) {
          table.pages.erase(table.pages.begin(), table.pages.begin() + forgotten);
          table.first += forgotten;
        }
      } else if (auto* state = std::get_if<RecurrentState>(&layers[l])) {
        const auto& spec = std::get<RecurrentSpec>(specs_[l]);
        const Tensor& out = state->out[s];
        check(out && out.shape() == spec.shape && out.dtype() == spec.dtype, "[state] execution ",
              l, " left a state that is not as it was declared, ", spec.shape.to_string());
        sequence.now.layers[l] = out;
      }
    }
    if (snapshot_every_ > 0 && length / snapshot_every_ > before / snapshot_every_) {
      if (sequence.kept.size() == kSnapshots) sequence.kept.erase(sequence.kept.begin());
      if (recurrent_size_ <= budget_ - bytes()) sequence.kept.push_back(snapshot(batch.seqs[s]));
    }
  }
}

// ---- A sequence as bytes: a magic line, the specs as a line of text, the length; then each
// execution's rows (keys and values widened to f32) or its tensor; and a hash over all of it.

namespace {

constexpr std::string_view kMagic = "stemma sequence 1\n";
constexpr size_t kHashDigits = 64;

class Writer {
 public:
  explicit Writer(const ByteSink& sink) : sink_(sink) {}
  void raw(const void* data, size_t bytes) {
    hash_.update({static_cast<const char*>(data), bytes});
    sink_(data, bytes);
  }
  void text(std::string_view s) { raw(s.data(), s.size()); }
  void number(int32_t value) { raw(&value, sizeof value); }
  void finish() {
    const std::string digits = hash_.hex();
    sink_(digits.data(), digits.size());
  }

 private:
  const ByteSink& sink_;
  Sha256 hash_;
};

class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) {
    text_ = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    check(text_.starts_with(kMagic),
          "[state] these bytes are not a sequence saved by this version");
    check(text_.size() > kMagic.size() + kHashDigits, "[state] a saved sequence breaks off");
    Sha256 hash;
    hash.update(text_.substr(0, text_.size() - kHashDigits));
    check(hash.hex() == text_.substr(text_.size() - kHashDigits),
          "[state] a saved sequence is damaged: its hash does not fit");
    text_.remove_suffix(kHashDigits);
    text_.remove_prefix(kMagic.size());
  }
  std::string_view text(size_t bytes) {
    check(bytes <= text_.size(), "[state] a saved sequence ends early");
    const std::string_view out = text_.substr(0, bytes);
    text_.remove_prefix(bytes);
    return out;
  }
  void raw(void* to, size_t bytes) { std::memcpy(to, text(bytes).data(), bytes); }
  int32_t number() {
    int32_t value;
    raw(&value, sizeof value);
    return value;
  }
  void finish() const { check(text_.empty(), "[state] a saved sequence goes on past its end"); }

 private:
  std::string_view text_;
};

const KvLayout* layout_of(const StateSpec& spec) {
  if (const auto* kv = std::get_if<KvSpec>(&spec)) return &kv->layout;
  if (const auto* source = std::get_if<SourceKvSpec>(&spec)) return &source->layout;
  return nullptr;
}

// The rows of one page in f32, keys and then values.
struct PageRows {
  explicit PageRows(const KvLayout& layout)
      : k(static_cast<size_t>(kPageTokens * layout.kv_heads * layout.d)),
        v(static_cast<size_t>(kPageTokens * layout.kv_heads * layout.dv)) {}
  std::vector<float> k, v;
};

}  // namespace

// One line that is equal for stores that may exchange sequences.
std::string StateStore::signature() const {
  std::string s;
  for (const StateSpec& spec : specs_)
    if (const auto* kv = std::get_if<KvSpec>(&spec))
      s += cat("kv ", kv->layout.kv_heads, ' ', kv->layout.d, ' ', kv->layout.dv, ' ',
               dtype_name(kv->layout.dtype), ' ', kv->window, ';');
    else if (const auto* source = std::get_if<SourceKvSpec>(&spec))
      s += cat("source ", source->layout.kv_heads, ' ', source->layout.d, ' ', source->layout.dv,
               ' ', dtype_name(source->layout.dtype), ';');
    else if (const auto* from = std::get_if<KvFrom>(&spec))
      s += cat("from ", from->state, ';');
    else
      s += cat("recurrent ", std::get<RecurrentSpec>(spec).shape.to_string(), ' ',
               dtype_name(std::get<RecurrentSpec>(spec).dtype), ';');
  return s + '\n';
}

void StateStore::save(SeqId seq, const ByteSink& sink) const {
  const Memory& memory = at(seq).now;
  Writer out(sink);
  out.text(kMagic);
  out.text(signature());
  out.number(memory.length);
  out.number(memory.source_length);
  for (size_t l = 0; l < specs_.size(); ++l) {
    if (const auto* state = std::get_if<Tensor>(&memory.layers[l])) {
      if (memory.length == 0) continue;
      check(state->contiguous(), "[state] a recurrent state must be contiguous to be saved");
      out.raw(state->bytes(), tensor_bytes(std::get<RecurrentSpec>(specs_[l])));
    } else if (const KvLayout* layout = layout_of(specs_[l])) {
      const auto& table = std::get<PageTable>(memory.layers[l]);
      out.number(table.first);
      PageRows rows(*layout);
      const int length =
          std::holds_alternative<SourceKvSpec>(specs_[l]) ? memory.source_length : memory.length;
      for (int page = table.first; page < pages_for(length); ++page) {
        const int count = std::min(kPageTokens, length - page * kPageTokens);
        read(*layout, table[page].get(), 0, count, rows.k.data(), rows.v.data());
        out.raw(rows.k.data(), rows.k.size() / kPageTokens * count * sizeof(float));
        out.raw(rows.v.data(), rows.v.size() / kPageTokens * count * sizeof(float));
      }
    }
  }
  out.finish();
}

bool StateStore::load(Ctx& c, SeqId seq, std::span<const uint8_t> saved) {
  check(!has(seq), "[state] sequence ", seq, " exists and cannot be loaded over");
  Reader in(saved);
  const std::string mine = signature();
  check(in.text(mine.size()) == mine, "[state] the saved sequence is of a model with other state");
  const int length = in.number();
  const int source_length = in.number();
  check(length >= 0 && source_length >= 0, "[state] a saved sequence of ", length, " tokens and ",
        source_length, " of its source");
  Memory memory = fresh();
  memory.length = length;
  memory.source_length = source_length;
  for (size_t l = 0; l < specs_.size(); ++l) {
    if (const auto* recurrent = std::get_if<RecurrentSpec>(&specs_[l])) {
      if (length == 0) continue;
      const Tensor state = Tensor::empty(c, recurrent->shape, recurrent->dtype);
      in.raw(state.bytes(), tensor_bytes(*recurrent));
      memory.layers[l] = state;
    } else if (const KvLayout* layout = layout_of(specs_[l])) {
      auto& table = std::get<PageTable>(memory.layers[l]);
      table.first = in.number();
      const auto* kv = std::get_if<KvSpec>(&specs_[l]);
      check(table.first >= 0 && table.first <= (kv ? first_page(*kv, length) : 0),
            "[state] a saved sequence lacks keys that its next token may see");
      const int rows_saved = kv ? length : source_length;
      const auto k_row = static_cast<size_t>(layout->kv_heads * layout->d),
                 v_row = static_cast<size_t>(layout->kv_heads * layout->dv);
      for (int page = table.first; page < pages_for(rows_saved); ++page) {
        const auto count =
            static_cast<size_t>(std::min(kPageTokens, rows_saved - page * kPageTokens));
        PageRows rows(*layout);
        in.raw(rows.k.data(), count * k_row * sizeof(float));
        in.raw(rows.v.data(), count * v_row * sizeof(float));
        if (page_bytes(*layout) + recurrent_size_ > budget_ - bytes()) return false;
        table.pages.push_back(pages_.allocate(static_cast<size_t>(layout->bytes())));
        append(*layout, table.pages.back().get(), 0, static_cast<int64_t>(count),
               {rows.k.data(), static_cast<int64_t>(k_row), rows.v.data(),
                static_cast<int64_t>(v_row)});
      }
    }
  }
  in.finish();
  sequences_[seq].now = std::move(memory);
  return true;
}

}  // namespace stemma
