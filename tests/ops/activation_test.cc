#include "ops/activation.h"

#include <cmath>

#include "base/team.h"
#include "driver.h"
#include "ops/glu.h"

namespace stemma::ops_test {
namespace {

constexpr Activation kAll[] = {
    Activation::gelu, Activation::gelu_tanh, Activation::gelu_10, Activation::quick_gelu,
    Activation::silu, Activation::relu,      Activation::relu2,   Activation::relu6,
    Activation::tanh, Activation::sigmoid,   Activation::mish,    Activation::identity,
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (Activation kind : kAll) {
    const auto wide = [](int64_t rows, int64_t n) {
      Input x = Input::batch({rows, n});
      x.low = -12, x.high = 12;  // both clips, and both saturated ends
      return x;
    };
    all.push_back(
        {std::string(activation_name(kind)),
         [=](int64_t rows, int64_t n) { return std::vector{wide(rows, n)}; },
         [kind](Ctx& c, const Tensors& in) -> Tensors { return {activation(c, in[0], kind)}; }});
    all.push_back(
        {cat(activation_name(kind), "_glu"),
         [=](int64_t rows, int64_t n) {
           return std::vector{wide(rows, n), Input::batch({rows, n})};
         },
         [kind](Ctx& c, const Tensors& in) -> Tensors { return {glu(c, in[0], in[1], kind)}; }});
  }
  return all;
}
INSTANTIATE_TEST_SUITE_P(Activations, Op, testing::ValuesIn(cases()), case_name);

TEST(Activation, NamesLeadThereAndBack) {
  for (Activation kind : kAll) EXPECT_EQ(activation_from_name(activation_name(kind)), kind);
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
    for (Activation kind : kAll) {
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
