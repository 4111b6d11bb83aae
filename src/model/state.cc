#include "model/state.h"

#include <algorithm>
#include <cstring>

namespace stemma {

class StateStore::LayerKv : public KvState {
 public:
  LayerKv(const StateStore& store, const Attention& spec) : store_(store), spec_(spec) {}

  void reserve(Ctx& c, SeqId seq, int tokens) {
    Rows& rows = rows_[seq];
    const int64_t capacity = rows.k ? rows.k.extent(0) : 0;
    if (capacity >= tokens) return;
    const int64_t wanted = std::max<int64_t>(tokens, capacity * 2);
    const int64_t kept = store_.length(seq);
    auto grow = [&](Tensor& t) {
      Tensor larger = Tensor::empty(c, {wanted, spec_.kv_heads, spec_.head_size});
      if (t)
        std::memcpy(larger.data<float>(), t.data<float>(),
                    static_cast<size_t>(kept * row_elements()) * sizeof(float));
      t = larger;
    };
    grow(rows.k);
    grow(rows.v);
  }

  void release(SeqId seq) { rows_.erase(seq); }

  void fork(Ctx& c, SeqId from, SeqId to) {
    reserve(c, to, store_.length(from) + 1);
    const size_t kept = static_cast<size_t>(store_.length(from) * row_elements()) * sizeof(float);
    std::memcpy(rows_[to].k.data<float>(), rows_[from].k.data<float>(), kept);
    std::memcpy(rows_[to].v.data<float>(), rows_[from].v.data<float>(), kept);
  }

  int64_t bytes() const {
    int64_t total = 0;
    for (const auto& [seq, rows] : rows_)
      total += (rows.k.elements() + rows.v.elements()) * static_cast<int64_t>(sizeof(float));
    return total;
  }

  void append(Ctx& c, const Batch& batch, const Tensor& k, const Tensor& v,
              std::vector<Tensor>& keys, std::vector<Tensor>& values) override {
    for (size_t s = 0; s < batch.seqs.size(); ++s) {
      const SeqId seq = batch.seqs[s];
      const int64_t begin = batch.main.start[s], count = batch.main.start[s + 1] - begin;
      const int64_t at = store_.length(seq);
      reserve(c, seq, static_cast<int>(at + count));
      Rows& rows = rows_[seq];
      auto copy = [&](const Tensor& from, const Tensor& to) {
        std::memcpy(to.data<float>() + at * row_elements(),
                    from.data<float>() + begin * row_elements(),
                    static_cast<size_t>(count * row_elements()) * sizeof(float));
      };
      copy(k, rows.k);
      copy(v, rows.v);
      keys.push_back(rows.k);
      values.push_back(rows.v);
    }
  }

  Ints lengths(const Batch& batch) const override {
    Ints out;
    for (size_t s = 0; s < batch.seqs.size(); ++s)
      out.push_back(store_.length(batch.seqs[s]) + batch.main.start[s + 1] - batch.main.start[s]);
    return out;
  }

 private:
  struct Rows {
    Tensor k, v;  // [capacity, Hk, D]
  };
  int64_t row_elements() const { return int64_t{spec_.kv_heads} * spec_.head_size; }

  const StateStore& store_;
  Attention spec_;
  std::unordered_map<SeqId, Rows> rows_;
};

StateStore::StateStore(const ModelSpec& spec) {
  for (const BlockSpec& block : spec.stack().blocks)
    layers_.emplace_back(*this, std::get<Attention>(block.mixer));
}

StateStore::~StateStore() = default;

void StateStore::reserve(Ctx& c, SeqId seq, int tokens) {
  lengths_.try_emplace(seq, 0);
  for (LayerKv& layer : layers_) layer.reserve(c, seq, tokens);
}

void StateStore::release(SeqId seq) {
  lengths_.erase(seq);
  for (LayerKv& layer : layers_) layer.release(seq);
}

void StateStore::fork(Ctx& c, SeqId from, SeqId to) {
  check(lengths_.count(from) > 0 && lengths_.count(to) == 0, "[state] fork of sequence ", from,
        " to ", to);
  for (LayerKv& layer : layers_) layer.fork(c, from, to);
  lengths_[to] = lengths_[from];
}

int StateStore::length(SeqId seq) const {
  auto it = lengths_.find(seq);
  return it == lengths_.end() ? 0 : it->second;
}

void StateStore::rollback(SeqId seq, int length) {
  auto it = lengths_.find(seq);
  check(it != lengths_.end() && length >= 0 && length <= it->second,
        "[state] rollback of sequence ", seq, " to ", length, " tokens");
  it->second = length;
}

int64_t StateStore::bytes() const {
  int64_t total = 0;
  for (const LayerKv& layer : layers_) total += layer.bytes();
  return total;
}

KvState* StateStore::layer(size_t execution) { return &layers_[execution]; }

void StateStore::advance(const Batch& batch) {
  for (size_t s = 0; s < batch.seqs.size(); ++s)
    lengths_[batch.seqs[s]] += batch.main.start[s + 1] - batch.main.start[s];
}

}  // namespace stemma
