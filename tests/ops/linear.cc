#include "ops/linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "base/rng.h"
#include "ops/primitives.h"

namespace stemma {
namespace {

struct Fixture {
  Fixture() { c.team = &team, c.pool = &pool; }
  Tensor tensor(Shape shape, uint64_t stream) {
    Tensor t = Tensor::empty(c, shape);
    for (int64_t i = 0; i < t.elements(); ++i)
      t.data<float>()[i] =
          static_cast<float>(RngKey(1).at(stream).normal(static_cast<uint64_t>(i)));
    return t;
  }
  Team team{2};
  Pool pool;
  Ctx c;
};

// One product of q | k | v gives the bits of three.
TEST(Weight, SlicesAreTheirOwnProducts) {
  Fixture f;
  const Tensor x = f.tensor({50, 70}, 0), q = f.tensor({96, 70}, 1), k = f.tensor({17, 70}, 2);
  const Tensor v = f.tensor({33, 70}, 3), bias = f.tensor({17}, 4), none;
  const Weight all(70, {{"q", 96, &q}, {"k", 17, &k, &bias}, {"v", 33, &v, &none}});
  const Pieces parts = split(f.c, linear(f.c, x, all), 1, all.slice_rows());
  EXPECT_EQ(parts[0].to_vector<float>(), linear(f.c, x, q).to_vector<float>());
  EXPECT_EQ(parts[1].to_vector<float>(), linear(f.c, x, k, bias).to_vector<float>());
  EXPECT_EQ(parts[2].to_vector<float>(), linear(f.c, x, v).to_vector<float>());
}

TEST(Weight, FollowsItsSlicesAfterARefresh) {
  Fixture f;
  const Tensor x = f.tensor({20, 40}, 0), w = f.tensor({50, 40}, 1), b = f.tensor({50}, 2);
  Weight weight(40, {{"w", 50, &w, &b}});
  const std::vector<float> before = linear(f.c, x, weight).to_vector<float>();
  w.data<float>()[0] += 1;
  b.data<float>()[49] -= 1;
  EXPECT_EQ(linear(f.c, x, weight).to_vector<float>(), before);
  weight.refresh(f.c);
  EXPECT_EQ(linear(f.c, x, weight).to_vector<float>(), linear(f.c, x, w, b).to_vector<float>());
}

// What follows the product gives the same bits fused, alone and under a tape.
TEST(Weight, FusedIsUnfused) {
  Fixture f;
  const Tensor x = f.tensor({21, 64}, 0), a = f.tensor({48, 64}, 1), b = f.tensor({48, 64}, 2);
  const Tensor bias = f.tensor({48}, 3);
  Weight weight(64, {{"gate", 48, &a, &bias}, {"up", 48, &b}});
  for (Format format : {Format::f32, Format::bf16, Format::int8, Format::int4}) {
    weight.set_layout({format, format == Format::int4 ? 32 : 0});
    for (const LinearThen& then : {LinearThen{.activation = Activation::gelu},
                                   LinearThen{.activation = Activation::silu, .gated = true}}) {
      const Tensor fused = linear(f.c, x, weight, then);
      const std::vector<float> want = follow(f.c, linear(f.c, x, weight), then).to_vector<float>();
      EXPECT_EQ(fused.to_vector<float>(), want) << format_name(format);
      Tape tape;
      tape.watch(x);
      Ctx taped = f.c;
      taped.tape = &tape;
      EXPECT_EQ(linear(taped, x, weight, then).to_vector<float>(), want) << format_name(format);
    }
  }
}

// The gradient of x is that of the weight which the panels stand for, rounded to bf16.
TEST(Weight, EveryFormatGivesDx) {
  Fixture f;
  constexpr int64_t kRows = 20, kN = 96, kK = 64;
  const Tensor x = f.tensor({kRows, kK}, 0), w = f.tensor({kN, kK}, 1),
               dy = f.tensor({kRows, kN}, 2);
  for (Format format : {Format::f32, Format::bf16, Format::int8, Format::int4}) {
    Weight weight(kK, {{"w", kN, &w}});
    weight.set_layout({format, format == Format::int4 ? 32 : 0});
    Tape tape;
    tape.watch(x);
    Ctx taped = f.c;
    taped.tape = &tape;
    tape.backward(f.c, linear(taped, x, weight), dy);
    std::vector<float> stands_for(kN * kK);
    unpack_columns(weight.forward(f.c).panels, 0, kN, stands_for.data());
    const std::vector<float> dx = tape.grad(x).to_vector<float>();
    const float tolerance = format == Format::f32 ? 1e-5f : 0.02f;
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t k = 0; k < kK; ++k) {
        double want = 0, size = 0;
        for (int64_t n = 0; n < kN; ++n) {
          const double term =
              dy.data<float>()[r * kN + n] * stands_for[static_cast<size_t>(n * kK + k)];
          want += term, size += term * term;
        }
        EXPECT_NEAR(dx[static_cast<size_t>(r * kK + k)], want, tolerance * std::sqrt(size))
            << format_name(format);
      }
  }
}

TEST(Weight, OnlyWantedSlicesGetAGradient) {
  Fixture f;
  const Tensor x = f.tensor({20, 40}, 0), a = f.tensor({50, 40}, 1), b = f.tensor({30, 40}, 2);
  const Weight weight(40, {{"a", 50, &a}, {"b", 30, &b}});
  Tape tape;
  tape.watch(b);
  Ctx c = f.c;
  c.tape = &tape;
  const Tensor y = linear(c, x, weight);
  tape.backward(c, y, f.tensor({20, 80}, 3));
  EXPECT_FALSE(tape.grad(a));
  EXPECT_TRUE(tape.grad(b));
}

TEST(Weight, MayBePackedBySeveralThreads) {
  Fixture f;
  const Tensor x = f.tensor({10, 30}, 0), w = f.tensor({10, 30}, 1);
  const std::vector<float> want = linear(f.c, x, w).to_vector<float>();
  const Weight weight(30, {{"w", 10, &w}});
  std::vector<std::vector<float>> got(4);
  std::vector<std::thread> threads;
  for (auto& result : got)
    threads.emplace_back([&] {
      Team own(1);
      Ctx mine{.team = &own, .pool = &f.pool};
      result = linear(mine, x, weight).to_vector<float>();
    });
  for (auto& thread : threads) thread.join();
  for (const auto& result : got) EXPECT_EQ(result, want);
}

TEST(Weight, RefusesValuesOfAnotherShape) {
  Fixture f;
  const Tensor x = f.tensor({2, 3}, 0), w = f.tensor({4, 5}, 1), b = f.tensor({3}, 2), none;
  EXPECT_THROW(linear(f.c, x, Weight(3, {{"w", 4, &w}})), Error);
  EXPECT_THROW(linear(f.c, x, Weight(3, {{"w", 4, &none}})), Error);
  EXPECT_THROW(linear(f.c, w, Weight(5, {{"w", 4, &w, &b}})), Error);
  EXPECT_THROW(linear(f.c, x, Weight(5, {{"w", 4, &w}})), Error);
}

TEST(Linear, RefusesShapesThatDoNotFit) {
  Team team(1);
  Pool pool;
  Ctx c{.team = &team, .pool = &pool};
  const Tensor x = Tensor::zeros(c, {2, 3}), w = Tensor::zeros(c, {4, 5});
  EXPECT_THROW(linear(c, x, w), Error);
  EXPECT_THROW(linear(c, x, Tensor::zeros(c, {4, 3}), Tensor::zeros(c, {3})), Error);
}

}  // namespace
}  // namespace stemma
