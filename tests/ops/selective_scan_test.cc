// Recurrent ops: however sequences are cut, what comes out has the same bits, with and without a
// tape, and so has the state.
#include "ops/selective_scan.h"

#include <gtest/gtest.h>

#include "autograd/tape.h"
#include "base/rng.h"
#include "ops/causal_conv.h"
#include "ops/primitives.h"

namespace stemma::ops_test {
namespace {

constexpr int kTokens = 150;

struct RecurrentOps : testing::Test {
  Team team{2};
  Pool buffers;
  Ctx c{&team, &buffers};

  Tensor drawn(uint64_t key, Shape shape, double low = -1, double high = 1) {
    const Tensor t = Tensor::empty(c, shape);
    for (int64_t i = 0; i < t.elements(); ++i)
      t.data<float>()[i] =
          static_cast<float>(low + (high - low) * RngKey(key).uniform(static_cast<uint64_t>(i)));
    return t;
  }

  // run(rows begin to end, their offsets, what is carried) for two sequences, the second of which
  // begins at token 40; they go on together, cut after each of `cuts` of their tokens.
  template <class Run>
  void expect_any_cut_is_the_whole(Run run) {
    std::vector<float> whole[2], last[2];
    for (int s = 0; s < 2; ++s) {
      Carried carried;
      carried.in.resize(1);
      whole[s] = run({s == 0 ? 0 : 40}, {0, s == 0 ? 40 : kTokens - 40}, &carried)
                     .template to_vector<float>();
      last[s] = carried.out[0].to_vector<float>();
      EXPECT_EQ(run({s == 0 ? 0 : 40}, {0, s == 0 ? 40 : kTokens - 40}, nullptr)
                    .template to_vector<float>(),
                whole[s]);
    }
    for (const bool taped : {false, true}) {
      Tape tape;
      if (taped) c.tape = &tape;
      Carried carried;
      carried.in.resize(2);
      std::vector<float> pieces[2];
      int done[2] = {0, 0};
      for (const int step : {1, 2, 30, 1, 64, 300}) {
        const int take[2] = {std::min(step, 40 - done[0]), std::min(step, kTokens - 40 - done[1])};
        const Tensor y = run({done[0], 40 + done[1]}, {0, take[0], take[0] + take[1]}, &carried);
        const std::vector<float> rows = y.template to_vector<float>();
        const auto middle = rows.begin() + take[0] * y.extent(1);
        pieces[0].insert(pieces[0].end(), rows.begin(), middle);
        pieces[1].insert(pieces[1].end(), middle, rows.end());
        for (int s = 0; s < 2; ++s) done[s] += take[s];
        carried.in = carried.out;
      }
      c.tape = nullptr;
      for (int s = 0; s < 2; ++s) {
        EXPECT_EQ(pieces[s], whole[s]) << "sequence " << s << (taped ? ", taped" : "");
        EXPECT_EQ(carried.in[static_cast<size_t>(s)].to_vector<float>(), last[s]);
      }
    }
  }

  // Rows of `all` from each of `begins`, as many as `start` says.
  Tensor rows(const Tensor& all, const Ints& begins, const Ints& start) {
    std::vector<Tensor> parts;
    for (size_t s = 0; s < begins.size(); ++s)
      parts.push_back(slice(c, all, 0, begins[s], begins[s] + start[s + 1] - start[s]));
    return concat(c, parts, 0);
  }
};

TEST_F(RecurrentOps, AnyCutOfAScanIsTheWhole) {
  for (const bool by_channel : {true, false}) {
    const int64_t width = 24, n = 19, heads = by_channel ? 1 : 4, groups = by_channel ? 1 : 2;
    const int64_t steps = by_channel ? width : heads;
    const Tensor x = drawn(1, {kTokens, width}), dt = drawn(2, {kTokens, steps}, 0.01, 1);
    const Tensor a_log = drawn(3, by_channel ? Shape{width, n} : Shape{heads});
    const Tensor b = drawn(4, {kTokens, groups * n}), out = drawn(5, {kTokens, groups * n});
    const Tensor d = drawn(6, {steps});
    expect_any_cut_is_the_whole([&](const Ints& begins, const Ints& start, Carried* carried) {
      auto of = [&](const Tensor& all) { return rows(all, begins, start); };
      return selective_scan(c, {of(x), of(dt), a_log, of(b), of(out), d, heads, groups}, start,
                            carried);
    });
  }
}

TEST_F(RecurrentOps, AnyCutOfAConvolutionIsTheWhole) {
  const Tensor x = drawn(1, {kTokens, 21}), w = drawn(2, {21, 4}), b = drawn(3, {21});
  expect_any_cut_is_the_whole([&](const Ints& begins, const Ints& start, Carried* carried) {
    return causal_conv(c, rows(x, begins, start), w, b, start, Activation::silu, carried);
  });
}

}  // namespace
}  // namespace stemma::ops_test
