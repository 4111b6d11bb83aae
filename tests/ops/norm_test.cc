#include "ops/norm.h"

#include "driver.h"

namespace stemma::ops_test {
namespace {

constexpr double kEps = 1e-5;

Tensors both(const Normed& n) { return {n.sum, n.out}; }

const Case kCases[] = {
    {"layer_norm",
     [](int64_t rows, int64_t n) {
       return std::vector{Input::batch({rows, n}), Input::real({n}), Input::real({n})};
     },
     [](Ctx& c, const Tensors& in) -> Tensors {
       return {add_layer_norm(c, in[0], {}, in[1], in[2], kEps).out};
     }},
    {"add_layer_norm",
     [](int64_t rows, int64_t n) {
       return std::vector{Input::batch({rows, n}), Input::batch({rows, n}), Input::real({n}),
                          Input::real({n})};
     },
     [](Ctx& c, const Tensors& in) {
       return both(add_layer_norm(c, in[0], in[1], in[2], in[3], kEps));
     }},
    {"layer_norm_without_weights",
     [](int64_t rows, int64_t n) {
       return std::vector{Input::batch({rows, n})};
     },
     [](Ctx& c, const Tensors& in) { return both(add_layer_norm(c, in[0], {}, {}, {}, kEps)); }},
    {"rms_norm",
     [](int64_t rows, int64_t n) {
       return std::vector{Input::batch({rows, n}), Input::real({n})};
     },
     [](Ctx& c, const Tensors& in) -> Tensors {
       return {add_rms_norm(c, in[0], {}, in[1], kEps).out};
     }},
    {"add_rms_norm",
     [](int64_t rows, int64_t n) {
       return std::vector{Input::batch({rows, n}), Input::batch({rows, n}), Input::real({n})};
     },
     [](Ctx& c, const Tensors& in) { return both(add_rms_norm(c, in[0], in[1], in[2], kEps)); }},
    {"rms_norm_by_head",
     [](int64_t rows, int64_t n) {
       return std::vector{Input::batch({rows, 2, n}), Input::real({n})};
     },
     [](Ctx& c, const Tensors& in) -> Tensors {
       return {add_rms_norm(c, in[0], {}, in[1], kEps).out};
     }},
};
INSTANTIATE_TEST_SUITE_P(Norms, Op, testing::ValuesIn(kCases), case_name);

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
