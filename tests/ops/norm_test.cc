#include "ops/norm.h"

#include "driver.h"

namespace stemma::ops_test {
namespace {

constexpr double kEps = 1e-5;

TEST(Norm, WithoutADeltaTheSumIsX) {
  Team team(1);
  Pool pool;
  Ctx c{&team, &pool};
  const Tensor x = Tensor::zeros(c, {2, 3});
  EXPECT_EQ(add_layer_norm(c, x, {}, {}, {}, kEps).sum.id(), x.id());
  EXPECT_EQ(add_rms_norm(c, x, {}, {}, kEps).sum.id(), x.id());
}

TEST(Norm, RefusesShapesThatDoNotFit) {
  Team team(1);
  Pool pool;
  Ctx c{&team, &pool};
  const Tensor x = Tensor::zeros(c, {2, 3}), w = Tensor::zeros(c, {2});
  EXPECT_THROW(add_layer_norm(c, x, {}, w, {}, kEps), Error);
  EXPECT_THROW(add_layer_norm(c, x, {}, {}, w, kEps), Error);
  EXPECT_THROW(add_layer_norm(c, x, w, {}, {}, kEps), Error);
  EXPECT_THROW(add_rms_norm(c, x, {}, w, kEps), Error);
  EXPECT_THROW(add_rms_norm(c, x, w, {}, kEps), Error);
}

}  // namespace
}  // namespace stemma::ops_test
