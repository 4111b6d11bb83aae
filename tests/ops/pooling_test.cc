#include "ops/pooling.h"

#include <cmath>

#include "driver.h"

namespace stemma::ops_test {
namespace {

struct Fixture : testing::Test {
  Team team{1};
  Pool buffers;
  Ctx c{&team, &buffers};
  std::vector<float> pooled(Pooling mode, const Ints& skip = {}) {
    const std::vector<float> rows = {1, -5, 2, -6, 6, -7, 9, -9};
    return pool(c, Tensor::from<float>(c, rows, {4, 2}), {0, 3, 4}, mode, skip).to_vector<float>();
  }
};
using PoolingValues = Fixture;
using V = std::vector<float>;

TEST_F(PoolingValues, OfEachMode) {
  EXPECT_EQ(pooled(Pooling::cls), (V{1, -5, 9, -9}));
  EXPECT_EQ(pooled(Pooling::last), (V{6, -7, 9, -9}));
  EXPECT_EQ(pooled(Pooling::max), (V{6, -5, 9, -9}));
  EXPECT_EQ(pooled(Pooling::mean), (V{3, -6, 9, -9}));
  EXPECT_FLOAT_EQ(pooled(Pooling::mean_sqrt_len)[0], 9 / std::sqrt(3.0f));
  EXPECT_FLOAT_EQ(pooled(Pooling::weighted_mean)[0], (1 + 4 + 18) / 6.0f);
}

TEST_F(PoolingValues, WithoutThePrompt) {
  EXPECT_EQ(pooled(Pooling::cls, {1, 0}), (V{2, -6, 9, -9}));
  EXPECT_EQ(pooled(Pooling::mean, {1, 1}), (V{4, -6.5f, 0, 0}));  // nothing left: zeros
  EXPECT_FLOAT_EQ(pooled(Pooling::weighted_mean, {1, 0})[0], (4 + 18) / 5.0f);
}

TEST_F(PoolingValues, RefusesBadOffsets) {
  const Tensor x = Tensor::zeros(c, {4, 2});
  EXPECT_THROW(pool(c, x, {0, 3}, Pooling::mean), Error);
  EXPECT_THROW(pool(c, x, {0, 3, 2, 4}, Pooling::mean), Error);
  EXPECT_THROW(pool(c, x, {0, 4}, Pooling::mean, {5}), Error);
}

TEST_F(PoolingValues, ARowOfZerosNormalizesToZerosWithAFiniteGradient) {
  Tape tape;
  const Tensor x = Tensor::zeros(c, {1, 3});
  tape.watch(x);
  c.tape = &tape;
  const Tensor y = normalize(c, x);
  EXPECT_EQ(y.to_vector<float>(), (V{0, 0, 0}));
  tape.backward(c, y, Tensor::zeros(c, {1, 3}));
  EXPECT_EQ(tape.grad(x).to_vector<float>(), (V{0, 0, 0}));
}

}  // namespace
}  // namespace stemma::ops_test
