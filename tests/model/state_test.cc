// StateStore by itself: pages and their budget, and states that recur, on a toy layer that needs no
// model: h = a * h + x over a sequence's tokens.
#include "model/state.h"

#include <gtest/gtest.h>

#include <numeric>

#include "ops/primitives.h"
#include "tensor/ctx.h"

namespace stemma {
namespace {

constexpr int64_t kWidth = 3;

Batch one(const Ints& ids, SeqId seq, int first) {
  Batch batch;
  batch.main.append(ids, {}, first);
  batch.seqs = {seq};
  return batch;
}

class State : public testing::Test {
 protected:
  State() : team_(1) { c_.team = &team_, c_.pool = &pool_; }

  Team team_;
  Pool pool_;
  Ctx c_;
};

// ---- Keys and values. One head of width 32: a page is 64 tokens of 64 floats, a size that the
// pool does not round.

struct Kv : State {
  static constexpr KvLayout kLayout{1, 32, 32};
  std::vector<StateSpec> specs_ = {KvSpec{kLayout}, KvFrom{0}, KvSpec{kLayout}};
  const int64_t two_pages_ =
      2 * Pool::footprint(kLayout.bytes());  // of 64 tokens, in both layers that keep some

  // Adds `count` tokens; the row of token t is t in every place.
  void add(StateStore& store, SeqId seq, int count) {
    const int past = store.length(seq);
    const Batch batch = one(Ints(static_cast<size_t>(count), 1), seq, past);
    PoolVector<LayerState> layers = store.begin(batch);
    std::vector<float> rows;
    for (int t = past; t < past + count; ++t) rows.insert(rows.end(), 32, static_cast<float>(t));
    const Tensor x = Tensor::from<float>(c_, rows, {count, 1, 32});
    AttentionPlan plan;
    plan.mask = {Causal{}};
    plan.q_start.assign(batch.main.start.begin(), batch.main.start.end());
    plan.k_start = plan.q_start;
    for (LayerState& layer : layers) {
      auto& kv = std::get<KvState>(layer);
      outs_.push_back(attention(c_, x, x, x, kv, plan));
    }
    store.advance(batch, layers);
  }
  std::vector<Tensor> outs_;
};

// What an encoder made of a source is kept once, however many sequences go on from it.
TEST_F(Kv, ForksShareASource) {
  StateStore store({KvSpec{kLayout, 0}, SourceKvSpec{kLayout}});
  const int64_t page = Pool::footprint(kLayout.bytes());
  EXPECT_EQ(store.bytes_for(10, 130), 4 * page);
  Batch batch = one(Ints(10, 1), 1, 0);
  batch.source.emplace().append(Ints(130, 1));
  store.advance(batch, store.begin(batch));
  EXPECT_EQ(store.source_length(1), 130);
  EXPECT_EQ(store.bytes(), 4 * page);
  store.fork(1, 2);
  EXPECT_EQ(store.bytes(), 4 * page);
  ASSERT_TRUE(store.reserve(2, 11));
  EXPECT_EQ(store.bytes(), 5 * page) << "its own copy of the page that it writes to";
  store.release(1);
  EXPECT_EQ(store.bytes(), 4 * page);
  EXPECT_EQ(store.source_length(2), 130);
  EXPECT_THROW(store.begin([&] {
    Batch again = one(Ints(1, 1), 2, 10);
    again.source.emplace().append(Ints(5, 1));
    return again;
  }()),
               Error)
      << "a source is read once";
  EXPECT_EQ(store.rollback(2, 0), 0);
  EXPECT_EQ(store.source_length(2), 0);
  EXPECT_EQ(store.bytes(), 0);
}

TEST_F(Kv, PagesAreTakenAsTokensComeAndGivenBack) {
  StateStore store(specs_);
  EXPECT_EQ(store.bytes(), 0);
  add(store, 1, 60);
  EXPECT_EQ(store.bytes(), two_pages_);
  add(store, 1, 5);
  EXPECT_EQ(store.bytes(), 2 * two_pages_);
  EXPECT_EQ(store.rollback(1, 64), 64);
  EXPECT_EQ(store.bytes(), two_pages_);
  store.release(1);
  EXPECT_EQ(store.bytes(), 0);
  EXPECT_FALSE(store.has(1));
}

TEST_F(Kv, AnotherExecutionsKeysAreReadAndNotAddedTo) {
  StateStore store(specs_);
  add(store, 1, 70);
  add(store, 1, 3);
  ASSERT_EQ(outs_.size(), 6u);
  EXPECT_EQ(outs_[1].to_vector<float>(), outs_[0].to_vector<float>());
  EXPECT_EQ(outs_[4].to_vector<float>(), outs_[3].to_vector<float>());
  EXPECT_THROW(StateStore({KvFrom{0}}), Error);
}

TEST_F(Kv, ForksAndSnapshotsShareAllButThePageThatIsWrittenTo) {
  StateStore store(specs_);
  add(store, 1, 200);  // 4 pages
  store.fork(1, 2);
  const StateStore::Snapshot snapshot = store.snapshot(1);
  EXPECT_EQ(store.bytes(), 4 * two_pages_);
  add(store, 2, 1);
  EXPECT_EQ(store.bytes(), 5 * two_pages_);
  store.release(1);
  EXPECT_EQ(store.bytes(), 5 * two_pages_) << "the snapshot holds them";
  store.rollback(2, snapshot);
  EXPECT_EQ(store.length(2), 200);
  EXPECT_EQ(store.bytes(), 4 * two_pages_);
}

TEST_F(Kv, ReserveSaysNoAndChangesNothing) {
  StateStore store(specs_, 3 * two_pages_);
  EXPECT_TRUE(store.reserve(1, 128));
  EXPECT_FALSE(store.reserve(2, 65));
  EXPECT_FALSE(store.has(2));
  EXPECT_EQ(store.bytes(), 2 * two_pages_);
  EXPECT_TRUE(store.reserve(2, 64));
  EXPECT_THROW(add(store, 2, 65), Error);
  // A fork does not get what was reserved, and takes no page until one of the two goes on.
  add(store, 1, 1);
  store.fork(1, 3);
  EXPECT_EQ(store.bytes(), store.budget());
  EXPECT_FALSE(store.reserve(3, 2));
  store.release(3);
  add(store, 1, 127);
}

TEST_F(Kv, ForeignBytesAreRefused) {
  StateStore store(specs_), other({KvSpec{kLayout}});
  add(store, 1, 70);
  std::vector<uint8_t> bytes;
  store.save(1, [&](const void* data, size_t size) {
    const auto* from = static_cast<const uint8_t*>(data);
    bytes.insert(bytes.end(), from, from + size);
  });
  auto refused = [&](StateStore& into, std::vector<uint8_t> given) {
    EXPECT_THROW(into.load(c_, 9, given), Error);
    EXPECT_FALSE(into.has(9));
  };
  refused(other, bytes);
  refused(store, {});
  for (size_t size : {size_t{5}, size_t{40}, bytes.size() - 1})
    refused(store, {bytes.begin(), bytes.begin() + static_cast<int64_t>(size)});
  for (size_t at = 0; at < bytes.size(); at += 97) {
    std::vector<uint8_t> changed = bytes;
    changed[at] ^= 0x10;
    refused(store, changed);
  }
  StateStore small(specs_, two_pages_);
  EXPECT_FALSE(small.load(c_, 9, bytes));
  EXPECT_EQ(small.bytes(), 0);
  EXPECT_TRUE(store.load(c_, 9, bytes));
  EXPECT_EQ(store.length(9), 70);
}

// ---- A recurrence.

struct Recurrence : State {
  static constexpr int kEvery = 10;
  StateStore store_{{RecurrentSpec{{kWidth}, DType::f32, kEvery}}};
  Tensor a_ = Tensor::from<float>(c_, std::vector<float>{0.5f, 0.9f, -0.7f}, {kWidth});

  static float input(int t, int64_t i) {
    return static_cast<float>((t * 7 + i * 3) % 11) - 5 + 0.25f * static_cast<float>(t % 3);
  }
  // Tokens [length, end) of a sequence through the layer; the state after the last.
  Tensor run(Ctx& c, SeqId seq, int end) { return run(c, store_, seq, end); }
  Tensor run(Ctx& c, StateStore& store, SeqId seq, int end) const {
    const int past = store.length(seq);
    const Batch batch = one(Ints(static_cast<size_t>(end - past), 0), seq, past);
    PoolVector<LayerState> layers = store.begin(batch);
    auto& state = std::get<RecurrentState>(layers[0]);
    Tensor h = state.in[0] ? state.in[0] : Tensor::zeros(c, {kWidth});
    for (int t = past; t < end; ++t) {
      std::vector<float> x;
      for (int64_t i = 0; i < kWidth; ++i) x.push_back(input(t, i));
      h = add(c, mul(c, a_, h), Tensor::from<float>(c, x, {kWidth}));
    }
    state.out[0] = h;
    store.advance(batch, layers);
    return h;
  }
  std::vector<float> alone(int end) {
    StateStore fresh({RecurrentSpec{{kWidth}}});
    return run(c_, fresh, 0, end).to_vector<float>();
  }
};

TEST_F(Recurrence, InAnyCutsAndAfterAFork) {
  for (int end : {1, 2, 12, 30}) run(c_, 1, end);
  store_.fork(1, 2);
  run(c_, 2, 33);
  EXPECT_EQ(run(c_, 1, 40).to_vector<float>(), alone(40));
  EXPECT_EQ(run(c_, 2, 40).to_vector<float>(), alone(40));
}

TEST_F(Recurrence, RollbackReachesTheSnapshotBefore) {
  for (int end = 1; end <= 35; ++end) run(c_, 1, end);
  EXPECT_EQ(store_.rollback(1, 35), 35);
  EXPECT_EQ(store_.rollback(1, 34), 30);
  EXPECT_EQ(run(c_, 1, 34).to_vector<float>(), alone(34));
  EXPECT_EQ(store_.rollback(1, 20), 20);
  EXPECT_EQ(store_.rollback(1, 9), 0);
  EXPECT_EQ(run(c_, 1, 9).to_vector<float>(), alone(9));
}

TEST_F(Recurrence, ChunksLeaveTheirSnapshotsAtTheirEnds) {
  run(c_, 1, 25);
  run(c_, 1, 28);
  EXPECT_EQ(store_.rollback(1, 27), 25);
}

TEST_F(Recurrence, SnapshotsAreBoundedAndCounted) {
  const int64_t size = kWidth * 4;
  for (int end = kEvery; end <= 100 * kEvery; end += kEvery) run(c_, 1, end);
  EXPECT_EQ(store_.bytes(), 9 * size) << "the state and eight snapshots";
  EXPECT_EQ(store_.rollback(1, 99 * kEvery + 5), 99 * kEvery);
  const StateStore::Snapshot snapshot = store_.snapshot(1);
  run(c_, 1, 2000);
  store_.rollback(1, snapshot);
  EXPECT_EQ(run(c_, 1, 1000).to_vector<float>(), alone(1000));
}

TEST_F(Recurrence, SavedAndLoaded) {
  run(c_, 1, 17);
  std::vector<uint8_t> bytes;
  store_.save(1, [&](const void* data, size_t size) {
    const auto* from = static_cast<const uint8_t*>(data);
    bytes.insert(bytes.end(), from, from + size);
  });
  ASSERT_TRUE(store_.load(c_, 2, bytes));
  EXPECT_EQ(run(c_, 2, 40).to_vector<float>(), alone(40));
}

// Under one tape the gradient goes through the state into the forward that left it; under a tape of
// its own a forward takes what it is given for a constant.
TEST_F(Recurrence, UnderATapeTheStateIsATensor) {
  auto gradient = [&](std::initializer_list<int> ends, bool one_tape) {
    store_.release(1);
    Tensor h;
    auto tape = std::make_unique<Tape>();
    tape->watch(a_);
    Ctx recorded = c_;
    for (int end : ends) {
      if (!one_tape) {
        tape = std::make_unique<Tape>();
        tape->watch(a_);
      }
      recorded.tape = tape.get();
      h = run(recorded, 1, end);
    }
    tape->backward(recorded, h, Tensor::from<float>(c_, std::vector<float>(kWidth, 1), {kWidth}));
    return tape->grad(a_).to_vector<float>();
  };
  const std::vector<float> whole = gradient({6}, true);
  EXPECT_EQ(gradient({2, 5, 6}, true), whole);
  // Only the last step: d h6 / d a = h5.
  EXPECT_EQ(gradient({2, 5, 6}, false), alone(5));
}

TEST_F(Recurrence, AStateOfAnotherShapeIsRefused) {
  const Batch batch = one({1}, 1, 0);
  PoolVector<LayerState> layers = store_.begin(batch);
  EXPECT_THROW(store_.advance(batch, layers), Error);
  std::get<RecurrentState>(layers[0]).out[0] = Tensor::zeros(c_, {kWidth + 1});
  EXPECT_THROW(store_.advance(batch, layers), Error);
}

}  // namespace
}  // namespace stemma
