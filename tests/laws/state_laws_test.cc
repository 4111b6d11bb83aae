// The laws of state: however a sequence is cut into forwards, forked, rolled back, saved or kept in
// a ring, what comes out has the bits of one forward over all of it, as in training.
#include <gtest/gtest.h>

#include "autograd/tape.h"
#include "laws/laws.h"

namespace stemma {
namespace {

constexpr int kLength = 210;  // more than three pages

Ints range(const Ints& ids, int begin, int end) { return {ids.begin() + begin, ids.begin() + end}; }

class StateLaws : public Laws {
 protected:
  StateLaws() {
    ModelSpec spec = seed() % 3 == 2 ? random_spec_of_both(seed()) : random_spec(seed(), true);
    spec.max_positions = 2 * kLength;
    if (auto* learned = std::get_if<LearnedPositions>(&spec.embed.position))
      learned->rows = spec.max_positions;
    for (BlockSpec& block : spec.decoder->blocks) {
      int& window = std::get<Attention>(block.mixer).window;
      if (window > 0) window *= 10;
    }
    model_ = made(spec);
    Draw d(seed() + 2000);
    for (int i = 0; i < kLength; ++i) ids_.push_back(d.upto(spec.embed.vocab));
    Tape tape;
    model_->params().watch(tape);
    Ctx recorded = c_;
    recorded.tape = &tape;
    trained_ = rows(recorded, batch_of(*model_, {ids_}), nullptr);
    width_ = static_cast<int>(trained_.size()) / kLength;
  }

  StateStore store(int64_t budget = StateStore::kUnlimited) const {
    return StateStore(state_specs(model_->spec()), budget);
  }
  std::vector<float> rows(Ctx& c, const Batch& batch, StateStore* state) const {
    return model_->forward(c, batch, state).to_vector<float>();
  }
  // Goes on with `seq` from where it stands to `end`, in one forward.
  std::vector<float> go_on(StateStore& state, SeqId seq, int end) {
    Batch batch;
    add(batch, state, seq, range(ids_, state.length(seq), end));
    return rows(c_, batch, &state);
  }
  // With its source, where the sequence has read none.
  void add(Batch& batch, const StateStore& state, SeqId seq, const Ints& ids) const {
    const bool reads = model_->spec().reads_source() && state.length(seq) == 0;
    if (reads && !batch.source) {
      batch.source.emplace();
      for (size_t s = 0; s < batch.seqs.size(); ++s) batch.source->append({});
    }
    batch.main.append(ids, {}, state.length(seq));
    batch.seqs.push_back(seq);
    if (batch.source) batch.source->append(reads ? source_of(ids_) : Ints());
  }
  // The rows [begin, end) of the training forward.
  std::vector<float> trained(int begin, int end) const {
    return {trained_.begin() + begin * width_, trained_.begin() + end * width_};
  }

  std::unique_ptr<Model> model_;
  Ints ids_;
  std::vector<float> trained_;
  int width_ = 0;
};

TEST_P(StateLaws, AnyChunksAreTheTrainingForward) {
  Draw d(seed());
  StateStore state = store();
  for (int at = 0; at < kLength;) {
    const int begin = at;
    // Often one token, as in decoding; else up to two pages.
    at = std::min(kLength, at + (d.coin() ? 1 : d.between(2, 130)));
    ASSERT_EQ(go_on(state, 3, at), trained(begin, at)) << begin << " to " << at;
  }
}

TEST_P(StateLaws, TokenByTokenAmongOthersIsTheTrainingForward) {
  StateStore state = store();
  const int ends[] = {70, 1, 130};
  for (int t = 0; t < 130; ++t) {
    Batch batch;
    for (SeqId seq = 0; seq < 3; ++seq)
      if (t < ends[seq]) {
        add(batch, state, seq, {ids_[static_cast<size_t>(t)]});
      }
    const std::vector<float> out = rows(c_, batch, &state), one = trained(t, t + 1);
    for (size_t s = 0; s < batch.seqs.size(); ++s)
      ASSERT_TRUE(std::equal(one.begin(), one.end(), out.begin() + static_cast<int>(s) * width_))
          << "token " << t << " of sequence " << s;
  }
}

TEST_P(StateLaws, ForksGoTheirOwnWays) {
  Draw d(seed());
  const int cut = d.between(1, kLength - 20);
  StateStore state = store();
  go_on(state, 1, cut);
  state.fork(1, 2);
  // The fork goes on with other tokens first; the original must not notice.
  Batch other;
  Ints changed = range(ids_, cut, cut + 20);
  for (int32_t& id : changed) id = (id + 1) % model_->spec().embed.vocab;
  other.main.append(changed, {}, cut);
  other.seqs = {2};
  rows(c_, other, &state);
  EXPECT_EQ(go_on(state, 1, kLength), trained(cut, kLength));
  ASSERT_EQ(state.rollback(2, cut), cut);
  EXPECT_EQ(go_on(state, 2, kLength), trained(cut, kLength));
}

TEST_P(StateLaws, RollbackAndSnapshotThenOn) {
  Draw d(seed());
  StateStore state = store();
  const int marked = d.between(1, 90), far = d.between(marked, 180);
  go_on(state, 1, marked);
  const StateStore::Snapshot snapshot = state.snapshot(1);
  go_on(state, 1, far);
  const int reached = state.rollback(1, d.between(0, far));
  EXPECT_EQ(go_on(state, 1, kLength), trained(reached, kLength));
  state.rollback(1, snapshot);
  EXPECT_EQ(go_on(state, 1, kLength), trained(marked, kLength));
}

TEST_P(StateLaws, SavedLoadedThenOn) {
  Draw d(seed());
  const int cut = d.between(1, kLength - 1);
  StateStore state = store(), elsewhere = store();
  go_on(state, 1, cut);
  std::vector<uint8_t> bytes;
  state.save(1, [&](const void* data, size_t size) {
    const auto* from = static_cast<const uint8_t*>(data);
    bytes.insert(bytes.end(), from, from + size);
  });
  ASSERT_TRUE(elsewhere.load(c_, 8, bytes));
  EXPECT_EQ(go_on(elsewhere, 8, kLength), trained(cut, kLength));
}

// A prefix goes through the model at once; what comes behind it, in any pieces.
TEST_P(StateLaws, BehindAPrefixToo) {
  if (!std::ranges::all_of(model_->spec().decoder->blocks,
                           [](const BlockSpec& block) { return sees_prefix(block.mixer); }))
    GTEST_SKIP() << "this model sees no prefix";
  Draw d(seed());
  const int prefix = d.between(2, kLength - 30), then = prefix + d.between(0, 20);
  StateStore state = store();
  const auto forward = [&](int end, StateStore* into) {
    Batch batch;
    const StateStore none = store();
    add(batch, none, 4, range(ids_, 0, end));
    batch.main.prefix = {prefix};
    return rows(c_, batch, into);
  };
  const std::vector<float> whole = forward(kLength, nullptr);
  std::vector<float> cut = forward(then, &state);
  const std::vector<float> rest = go_on(state, 4, kLength);
  cut.insert(cut.end(), rest.begin(), rest.end());
  EXPECT_EQ(cut, whole);
  EXPECT_NE(whole, trained_);
}

// Below f32 as well: keys and values lie in pages of bf16.
TEST_P(StateLaws, InBf16Too) {
  model_->set_format(Format::bf16);
  const StateStore none(state_specs(model_->spec(), model_->kv_dtype()));
  Batch batch;
  add(batch, none, 1, ids_);
  batch.seqs.clear();
  const std::vector<float> whole = rows(c_, batch, nullptr);
  StateStore state(state_specs(model_->spec(), model_->kv_dtype()));
  Draw d(seed());
  for (int at = 0; at < kLength;) {
    const int begin = at;
    at = std::min(kLength, at + (d.coin() ? 1 : d.between(2, 130)));
    const std::vector<float> expected(whole.begin() + begin * width_, whole.begin() + at * width_);
    ASSERT_EQ(go_on(state, 1, at), expected) << begin << " to " << at;
  }
}

TEST_P(StateLaws, UnderATapeTooAndWithItsGradients) {
  // A state that was empty changes nothing; one with a past is a constant.
  auto gradients = [&](StateStore* state, int begin) {
    model_->params().zero_grads();
    Tape tape;
    model_->params().watch(tape);
    Ctx recorded = c_;
    recorded.tape = &tape;
    // Without a state, as a new sequence.
    const StateStore none = store();
    Batch batch;
    add(batch, state ? *state : none, 5, range(ids_, begin, kLength));
    const Tensor hidden = model_->forward(recorded, batch, state);
    EXPECT_EQ(hidden.to_vector<float>(), trained(begin, kLength));
    tape.backward(recorded, hidden, hidden);
    return model_->params().grads().to_vector<float>();
  };
  StateStore empty = store(), begun = store();
  const std::vector<float> without = gradients(nullptr, 0);
  EXPECT_EQ(gradients(&empty, 0), without);
  go_on(begun, 5, 100);
  EXPECT_NE(gradients(&begun, 100), without);
}

INSTANTIATE_TEST_SUITE_P(RandomSpecs, StateLaws, testing::Range(0, 12));

// Pages of a window are dropped as they leave it: memory stays what it is, and the mask of a full
// cache would have hidden the same keys.
TEST(WindowRing, StaysSmallAndSeesWhatTheWindowShows) {
  Engine engine(1);
  Ctx c = engine.ctx();
  Attention attention;
  attention.heads = 2, attention.kv_heads = 1, attention.head_size = 4;
  attention.causal = true;
  attention.window = 33;
  attention.scale = 0.5;
  BlockSpec block;
  block.mixer = attention;
  block.mix.in = block.ff.in = Norm{NormKind::rms, 1e-6};
  block.ffn = Mlp{8, Activation::gelu, true};
  ModelSpec spec;
  spec.embed.vocab = 50, spec.embed.width = 8;
  spec.init_std = 0.5;
  spec.decoder = StackSpec{{block, block}, {}};
  Model model(spec);
  model.params().make_flat(c, 1, false);

  constexpr int kTokens = 1000;
  Draw d(4);
  Batch whole;
  Ints ids;
  for (int i = 0; i < kTokens; ++i) ids.push_back(d.upto(50));
  whole.main.append(ids);
  const std::vector<float> expected = model.forward(c, whole).to_vector<float>();

  StateStore state(state_specs(spec));
  int64_t largest_early = 0, largest = 0;
  for (int at = 0; at < kTokens;) {
    const int end = std::min(kTokens, at + (at % 3 == 0 ? 1 : d.between(1, 50)));
    Batch batch;
    batch.main.append(range(ids, at, end), {}, at);
    batch.seqs = {0};
    const std::vector<float> out = model.forward(c, batch, &state).to_vector<float>();
    ASSERT_TRUE(std::equal(out.begin(), out.end(), expected.begin() + at * 8)) << at;
    at = end;
    largest = std::max(largest, state.bytes());
    if (at < 300) largest_early = largest;
  }
  EXPECT_EQ(largest, largest_early);
  EXPECT_EQ(state.rollback(0, kTokens - 60), kTokens - 60) << "a little way back is still there";
  EXPECT_EQ(state.rollback(0, 100), 0) << "further back there is nothing but the beginning";
}

}  // namespace
}  // namespace stemma
