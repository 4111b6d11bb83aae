// The laws of models with a second stream of targets, orders of prediction and memory, on random
// tiny specs with Transformer-XL's positions.
#include <gtest/gtest.h>

#include "autograd/tape.h"
#include "laws/laws.h"
#include "model/memory.h"
#include "ops/primitives.h"

namespace stemma {
namespace {

ModelSpec streams_spec(uint64_t seed, bool causal) {
  Draw d(seed + 300);
  ModelSpec spec = random_spec(seed, false);
  spec.embed.inner = 0;
  spec.embed.query = true;
  spec.embed.types = 0;
  spec.embed.position = NoPosition{};  // a stretch begins where the one before ended
  const Norm norm{NormKind::layer, 1e-6};
  for (BlockSpec& block : spec.encoder->blocks) {
    if (!std::holds_alternative<Attention>(block.mixer)) block.mixer = random_attention(d, causal);
    auto& a = std::get<Attention>(block.mixer);
    a.position = random_transformer_xl(d);
    a.causal = causal;
    a.window = 0;
    block.mix = block.ff = {};
    block.mix.after_add = block.ff.after_add = norm;
  }
  LmHead head;
  head.predicts = Predicts::same;
  spec.heads = {head};
  spec.ties.lm_head = true;
  return spec;
}

class StreamsLaws : public Laws {
 protected:
  // Sequences with targets, orders, segments, memory and, some of them, reversed.
  Batch batch(const Model& m, const std::vector<size_t>& which) {
    const auto sequences = random_sequences(seed(), m.spec().embed.vocab);
    Batch out;
    std::vector<Bits> seen;
    out.main.target_start = out.memory.start = {0};
    for (size_t s : which) {
      Draw d(seed() * 10 + s + 50);
      const Ints& ids = sequences[s];
      const auto n = static_cast<int>(ids.size());
      Ints types;
      for (int i = 0; i < n; ++i) types.push_back(d.upto(3));
      out.main.append(ids, types);
      Bits& bits = seen.emplace_back(n, n);
      for (int i = 0; i < n; ++i)
        for (int j = 0; j < n; ++j)
          if (d.upto(3) > 0) bits.show(i, j);
      const int targets = d.between(1, std::min(n, 3));
      for (int k = 0; k < targets; ++k) out.main.targets.push_back(d.upto(n));
      out.main.target_start.push_back(static_cast<int32_t>(out.main.targets.size()));
      out.main.reversed.push_back(d.coin());
      out.memory.start.push_back(out.memory.start.back() + static_cast<int32_t>(3 * s));
    }
    out.main.seen = Bitmap(std::move(seen));
    for (size_t l = 0; l < m.spec().stack().executions(); ++l) {
      std::vector<Tensor> rows;
      for (size_t s : which)
        if (s > 0)
          rows.push_back(random({static_cast<int64_t>(3 * s), m.spec().embed.width}, l * 9 + s));
      out.memory.layers.push_back(rows.empty() ? Tensor::zeros(c_, {0, m.spec().embed.width})
                                               : concat(c_, rows, 0));
    }
    return out;
  }
  Tensor random(Shape shape, uint64_t key) {
    const Tensor t = Tensor::empty(c_, shape);
    for (int64_t i = 0; i < t.elements(); ++i)
      t.data<float>()[i] =
          static_cast<float>(RngKey(seed()).at(key).normal(static_cast<uint64_t>(i)));
    return t;
  }
  // The loss of the targets, and its gradients of the parameters and of all memory.
  struct Result {
    double loss;
    std::vector<float> gradients;
    std::vector<Tensor> memory;
  };
  Result backward(Ctx c, const Model& m, const Batch& given) {
    ParamStore& params = const_cast<Model&>(m).params();
    params.zero_grads();
    Tape tape;
    params.watch(tape);
    for (const Tensor& layer : given.memory.layers) tape.watch(layer);
    c.tape = &tape;
    const Tensor hidden = m.forward(c, given);
    const Tensor loss = sum_all(c, mul(c, hidden, random(hidden.shape(), 77)));
    tape.backward(c, loss);
    Result out{loss.item(), params.grads().to_vector<float>(), {}};
    for (const Tensor& layer : given.memory.layers) out.memory.push_back(tape.grad(layer));
    return out;
  }
};

TEST_P(StreamsLaws, PackedIsAlone) {
  const auto m = made(streams_spec(seed(), false));
  const std::vector<float> packed = m->forward(c_, batch(*m, {0, 1, 2, 3})).to_vector<float>();
  std::vector<float> alone;
  for (size_t s : {0, 1, 2, 3}) {
    const std::vector<float> one = m->forward(c_, batch(*m, {s})).to_vector<float>();
    alone.insert(alone.end(), one.begin(), one.end());
  }
  EXPECT_EQ(packed, alone) << "bitwise";
}

TEST_P(StreamsLaws, KernelsAreTheDefinitionAndThreadsChangeNoBit) {
  const auto m = made(streams_spec(seed(), false));
  const Batch given = batch(*m, {0, 1, 2, 3});
  Ctx defined = c_;
  defined.kernels = false;
  EXPECT_LE(relative(m->forward(c_, given).to_vector<float>(),
                     m->forward(defined, given).to_vector<float>()),
            1e-5);
  const Result one = backward(c_, *m, given);
  EXPECT_LE(relative(one.gradients, backward(defined, *m, given).gradients), 1e-4);
  Engine two(2);
  EXPECT_EQ(backward(two.ctx(), *m, given).gradients, one.gradients);
}

TEST_P(StreamsLaws, RematerialisationChangesNoBit) {
  const auto m = made(streams_spec(seed(), false));
  const Batch given = batch(*m, {0, 2, 3});
  Ctx again = c_;
  again.rematerialise = true;
  const Result kept = backward(c_, *m, given), run_again = backward(again, *m, given);
  EXPECT_EQ(run_again.gradients, kept.gradients);
  for (size_t l = 0; l < kept.memory.size(); ++l)
    EXPECT_EQ(run_again.memory[l].to_vector<float>(), kept.memory[l].to_vector<float>());
}

// Along a random direction in all of the memory.
TEST_P(StreamsLaws, TheGradientOfMemoryIsTheDifferenceItMakes) {
  const auto m = made(streams_spec(seed(), false));
  Batch given = batch(*m, {0, 2, 3});
  const Result at = backward(c_, *m, given);
  double predicted = 0, scale = 0;
  std::vector<Tensor> directions;
  for (size_t l = 0; l < at.memory.size(); ++l) {
    directions.push_back(random(given.memory.layers[l].shape(), 500 + l));
    ASSERT_TRUE(at.memory[l]);
    for (int64_t i = 0; i < directions[l].elements(); ++i) {
      predicted += at.memory[l].item(i) * directions[l].item(i);
      scale += std::abs(at.memory[l].item(i) * directions[l].item(i));
    }
  }
  const double step = 1e-2;
  const auto moved = [&](double by) {
    Batch there = given;
    for (size_t l = 0; l < directions.size(); ++l)
      there.memory.layers[l] = add(c_, given.memory.layers[l], mul(c_, directions[l], by));
    Ctx c = c_;
    const Tensor hidden = m->forward(c, there);
    return sum_all(c, mul(c, hidden, random(hidden.shape(), 77))).item();
  };
  const double difference = (moved(step) - moved(-step)) / (2 * step);
  EXPECT_GT(scale, 0);
  EXPECT_NEAR(difference, predicted, 0.02 * scale + 1e-3);
}

// A causal model that reads a text in two stretches reads what it reads at once.
TEST_P(StreamsLaws, MemoryOfAStretchIsItsText) {
  const auto m = made(streams_spec(seed(), true));
  Batch whole, first, second;
  for (const Ints& ids : random_sequences(seed(), m->spec().embed.vocab)) {
    const auto cut = ids.begin() + static_cast<int64_t>(ids.size() / 2);
    if (cut == ids.begin()) continue;
    whole.main.append(ids);
    first.main.append(Ints(ids.begin(), cut));
    second.main.append(Ints(cut, ids.end()));
  }
  HiddenStates states;
  m->forward(c_, first, nullptr, &states);
  second.memory = remember(c_, {}, first, states.encoder);
  const Tensor all = m->forward(c_, whole), rest = m->forward(c_, second);
  std::vector<float> expected;
  for (int s = 0; s < whole.main.sequences(); ++s) {
    const auto i = static_cast<size_t>(s);
    const int32_t begin = whole.main.start[i] + first.main.start[i + 1] - first.main.start[i];
    const std::vector<float> rows =
        slice(c_, all, 0, begin, whole.main.start[i + 1]).to_vector<float>();
    expected.insert(expected.end(), rows.begin(), rows.end());
  }
  EXPECT_LE(relative(rest.to_vector<float>(), expected), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(RandomSpecs, StreamsLaws, testing::Range(0, 6));

}  // namespace
}  // namespace stemma
