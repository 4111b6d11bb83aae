#include "ops/embedding.h"

#include "driver.h"

namespace stemma::ops_test {
namespace {

TEST(Embedding, PaddingTakesNoGradient) {
  Team team(1);
  Pool pool;
  for (bool kernels : {true, false}) {
    Tape tape;
    Ctx c{&team, &pool, nullptr, kernels};
    const Tensor table = Tensor::zeros(c, {3, 2});
    tape.watch(table);
    c.tape = &tape;
    const Tensor y = embedding(c, table, Tensor::from(c, {1, 2, 1, 1}), 2);
    const std::vector<float> ones(8, 1);
    tape.backward(c, y, Tensor::from<float>(c, ones, {4, 2}));
    EXPECT_EQ(tape.grad(table).to_vector<float>(), (std::vector<float>{0, 0, 3, 3, 0, 0}));
  }
}

TEST(Embedding, NamesTheIdOutside) {
  Team team(1);
  Pool pool;
  Ctx c{&team, &pool};
  const Tensor table = Tensor::zeros(c, {3, 2});
  for (int32_t id : {-1, 3}) {
    try {
      embedding(c, table, Tensor::from(c, {0, id}));
      FAIL();
    } catch (const Error& e) {
      EXPECT_NE(e.message().find(cat("id ", id, " at position 1")), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace stemma::ops_test
