#include "ops/activation.h"

#include <cmath>

#include "base/team.h"
#include "driver.h"
#include "ops/glu.h"

namespace stemma::ops_test {
namespace {

TEST(Activation, NamesLeadThereAndBack) {
  for (Activation kind : all_activations())
    EXPECT_EQ(activation_from_name(activation_name(kind)), kind);
  EXPECT_EQ(activation_from_name("gelu_pytorch_tanh"), Activation::gelu_tanh);
  EXPECT_EQ(activation_from_name("swish"), Activation::silu);
  EXPECT_EQ(activation_from_name("linear"), Activation::identity);
}

TEST(Activation, AnUnknownNameListsTheKnownOnes) {
  try {
    activation_from_name("gelu_newer");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::kUnsupported);
    EXPECT_NE(e.message().find("gelu_newer"), std::string::npos);
    EXPECT_NE(e.message().find("quick_gelu"), std::string::npos);
  }
}

TEST(Activation, ExtremesStayFinite) {
  Team team(1);
  Pool pool;
  Ctx c{&team, &pool};
  const std::vector<float> values = {-1e4f, -100, -0.f, 0, 100, 1e4f};
  for (bool kernels : {false, true}) {
    c.kernels = kernels;
    for (Activation kind : all_activations()) {
      Tape tape;
      const Tensor x = Tensor::from<float>(c, values, {6});
      tape.watch(x);
      c.tape = &tape;
      const Tensor y = activation(c, x, kind);
      c.tape = nullptr;
      tape.backward(c, y, Tensor::from<float>(c, values, {6}));
      for (int64_t i = 0; i < 6; ++i) {
        EXPECT_TRUE(std::isfinite(y.item(i))) << activation_name(kind) << " of " << x.item(i);
        EXPECT_TRUE(std::isfinite(tape.grad(x).item(i)))
            << activation_name(kind) << " slope at " << x.item(i);
      }
    }
  }
}

TEST(Glu, ShapesMustAgree) {
  Team team(1);
  Pool pool;
  Ctx c{&team, &pool};
  EXPECT_THROW(glu(c, Tensor::zeros(c, {2, 3}), Tensor::zeros(c, {3, 2}), Activation::silu), Error);
}

}  // namespace
}  // namespace stemma::ops_test
