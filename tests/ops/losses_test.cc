#include "ops/losses.h"

#include <cmath>

#include "base/rng.h"
#include "driver.h"
#include "ops/cross_entropy.h"

namespace stemma::ops_test {
namespace {

TEST(CrossEntropy, RefusesALabelBeyondTheClasses) {
  Team team(1);
  Pool pool;
  Ctx c{&team, &pool};
  const Tensor x = Tensor::zeros(c, {2, 3});
  EXPECT_THROW(cross_entropy(c, x, Tensor::from(c, {0, 3})), Error);
  EXPECT_THROW(cross_entropy(c, x, Tensor::from(c, {0})), Error);
  EXPECT_FLOAT_EQ(static_cast<float>(cross_entropy(c, x, Tensor::from(c, {-100, 2})).item(1)),
                  std::log(3.0f));
}

// A vocabulary so large that the rows are cut in chunks, against the whole.
TEST(CrossEntropy, ChunksAddUpToTheWhole) {
  Team team(2);
  Pool pool;
  constexpr int64_t kRows = 700, kVocab = 33000, kWidth = 2;
  const RngKey key(3);
  std::vector<float> hidden(kRows * kWidth), weight(kVocab * kWidth);
  for (size_t i = 0; i < hidden.size(); ++i) hidden[i] = static_cast<float>(key.at(0).normal(i));
  for (size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<float>(key.at(1).normal(i));
  Ints labels;
  for (uint64_t t = 0; t < kRows; ++t)
    labels.push_back(t % 5 ? static_cast<int32_t>(key.at(2).below(t, kVocab)) : -100);
  std::vector<Tensor> values, dhidden, dweight;
  for (bool chunks : {true, false}) {
    Ctx c{&team, &pool};
    Tape tape;
    const Tensor h = Tensor::from<float>(c, hidden, {kRows, kWidth});
    const Tensor w = Tensor::from<float>(c, weight, {kVocab, kWidth});
    const Weight weight(kWidth, {{"w", kVocab, &w}});
    const Tensor at = Tensor::from(c, labels);
    tape.watch(h), tape.watch(w);
    c.tape = &tape;
    pool.reset_peak();
    const Tensor y =
        chunks ? linear_cross_entropy(c, h, weight, at) : cross_entropy(c, linear(c, h, w), at);
    values.push_back(y);
    tape.backward(c, y, Tensor::from<float>(c, std::vector<float>(kRows, 1.0f), {kRows}));
    if (chunks) {
      EXPECT_LT(pool.peak_bytes(), kRows * kVocab * 4);
    }
    dhidden.push_back(tape.grad(h)), dweight.push_back(tape.grad(w));
  }
  EXPECT_EQ(values[0].to_vector<float>(), values[1].to_vector<float>());
  EXPECT_EQ(dhidden[0].to_vector<float>(), dhidden[1].to_vector<float>());
  EXPECT_EQ(dweight[0].to_vector<float>(), dweight[1].to_vector<float>());
}

TEST(BinaryCrossEntropy, IsFiniteAtExtremes) {
  Team team(1);
  Pool pool;
  Ctx c{&team, &pool};
  const std::vector<float> x = {-1000, 1000}, target = {1, 0};
  const Tensor y = binary_cross_entropy_with_logits(c, Tensor::from<float>(c, x, {2}),
                                                    Tensor::from<float>(c, target, {2}));
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{1000, 1000}));
}

}  // namespace
}  // namespace stemma::ops_test
