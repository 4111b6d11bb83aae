#include "autograd/rematerialise.h"

#include <gtest/gtest.h>

#include "base/team.h"

namespace stemma {
namespace {

class Rematerialise : public testing::Test {
 protected:
  // y = a * b elementwise, counting how often it is computed.
  Tensor product(Ctx& c, const Tensor& a, const Tensor& b) {
    ++computed_;
    Tensor y = Tensor::empty(c, a.shape());
    for (int64_t i = 0; i < y.elements(); ++i)
      y.data<float>()[i] = a.data<float>()[i] * b.data<float>()[i];
    if (recording(c, {a, b}))
      c.tape->record("product", {y}, [this, a, b](Ctx& c, std::span<const Tensor> d, Grads& g) {
        if (g.wants(a)) g.add(c, a, product(c, d[0], b));
        if (g.wants(b)) g.add(c, b, product(c, d[0], a));
        computed_ -= g.wants(a) + g.wants(b);
      });
    return y;
  }
  Tensor vector(std::initializer_list<float> values) {
    return Tensor::from<float>(c_, std::span(values.begin(), values.size()),
                               {static_cast<int64_t>(values.size())});
  }

  Team team_{1};
  Pool pool_;
  Ctx c_{.team = &team_, .pool = &pool_};
  int computed_ = 0;
};

TEST_F(Rematerialise, RunsAgainAndGivesTheSameGradients) {
  const Tensor x = vector({1, 2, 3}), w = vector({4, 5, 6}), sink = Tensor::zeros(c_, {3});
  Tape tape;
  tape.watch(x);
  tape.watch(w, sink);
  Ctx c = c_;
  c.tape = &tape;
  const auto [y] = rematerialised<1>(c, [=, this](Ctx& c) -> std::array<Tensor, 1> {
    return {product(c, product(c, x, w), w)};  // x w^2
  });
  EXPECT_EQ(computed_, 2);
  EXPECT_EQ(tape.size(), 1u);
  const Tensor z = product(c, y, x);  // x^2 w^2
  tape.backward(c, z, vector({1, 1, 1}));
  EXPECT_EQ(computed_, 5) << "the stretch ran twice, the rest once";
  EXPECT_EQ(tape.grad(x).to_vector<float>(), (std::vector<float>{32, 100, 216}));  // 2 x w^2
  EXPECT_EQ(sink.to_vector<float>(), (std::vector<float>{8, 40, 108}));            // 2 x^2 w
}

TEST_F(Rematerialise, HoldsNothingBetweenTheTwoRuns) {
  const Tensor x = Tensor::zeros(c_, {1 << 16});
  Tape tape(&pool_);
  tape.watch(x);
  Ctx c = c_;
  c.tape = &tape;
  const int64_t before = pool_.bytes_in_use();
  const auto [y] = rematerialised<1>(c, [=, this](Ctx& c) -> std::array<Tensor, 1> {
    Tensor y = x;
    for (int i = 0; i < 10; ++i) y = product(c, y, x);
    return {y};
  });
  EXPECT_LT(pool_.bytes_in_use() - before, 2 * (int64_t{4} << 16));
}

TEST_F(Rematerialise, WhatNeedsNoGradientIsNotRecorded) {
  const Tensor x = vector({1}), w = vector({2}), other = vector({3});
  Tape tape;
  tape.watch(w);
  Ctx c = c_;
  c.tape = &tape;
  const auto out = rematerialised<3>(c, [=, this](Ctx& c) -> std::array<Tensor, 3> {
    return {w, product(c, x, other), product(c, w, x)};
  });
  EXPECT_EQ(out[0].id(), w.id()) << "what passes through is what went in";
  EXPECT_FALSE(tape.needs(out[1]));
  EXPECT_TRUE(tape.needs(out[2]));
  tape.backward(c, product(c, out[2], out[0]), vector({1}));
  EXPECT_EQ(tape.grad(w).item(), 4);  // d(w^2 x)
}

TEST_F(Rematerialise, NestedStretchesRunInside) {
  const Tensor x = vector({3});
  Tape tape;
  tape.watch(x);
  Ctx c = c_;
  c.tape = &tape;
  const auto [y] = rematerialised<1>(c, [=, this](Ctx& c) -> std::array<Tensor, 1> {
    return rematerialised<1>(
        c, [=, this](Ctx& c) -> std::array<Tensor, 1> { return {product(c, x, x)}; });
  });
  tape.backward(c, y, vector({1}));
  EXPECT_EQ(tape.grad(x).item(), 6);
}

TEST_F(Rematerialise, AFailureInTheSecondRunLeavesNothingBehind) {
  const Tensor x = vector({3});
  const int64_t before = pool_.bytes_in_use();
  {
    Tape tape(&pool_);
    tape.watch(x);
    Ctx c = c_;
    c.tape = &tape;
    const auto [y] = rematerialised<1>(c, [=, this](Ctx& c) -> std::array<Tensor, 1> {
      const Tensor y = product(c, x, x);
      if (computed_ > 1) fail(Code::kFailed, "the second time");
      return {y};
    });
    EXPECT_THROW(tape.backward(c, y, vector({1})), Error);
  }
  EXPECT_EQ(pool_.bytes_in_use(), before);
}

}  // namespace
}  // namespace stemma
