#include "train/step.h"

#include <gtest/gtest.h>

#include <cmath>

#include "autograd/tape.h"
#include "train/toy.h"

namespace stemma {
namespace {

double relative(std::span<const float> a, std::span<const float> b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
}

// However the rows are cut, each gradient is that of the mean over all counted labels.
TEST(Step, AccumulationIsTheLargeBatch) {
  for (const char* family : {"llama", "bert"}) {
    const std::vector<TrainPart> rows = toy_rows(8, 5);
    std::vector<std::vector<float>> grads;
    std::vector<double> losses;
    for (size_t size : {8, 3, 1}) {
      std::vector<TrainPart> parts;
      for (size_t i = 0; i < rows.size(); i += size)
        parts.push_back(joined(std::span(rows).subspan(i, std::min(size, rows.size() - i))));
      Toy toy(family);
      OptimizerSpec spec;
      Optimizer optimizer(toy.c, toy.model().params(), spec);
      losses.push_back(train_step(toy.c, toy.model(), parts, optimizer, 0).loss);
      // A rate of 0 changes nothing, so the gradients can be looked at afterwards.
      for (const Parameter& p : toy.model().params().all())
        grads.push_back(p.grad.to_vector<float>());
    }
    const size_t count = grads.size() / 3;
    for (size_t cut : {1, 2})
      for (size_t i = 0; i < count; ++i)
        EXPECT_LE(relative(grads[cut * count + i], grads[i]), 1e-6) << family << " " << i;
    EXPECT_NEAR(losses[1], losses[0], 1e-6 * losses[0]);
    EXPECT_NEAR(losses[2], losses[0], 1e-6 * losses[0]);
  }
}

TEST(Step, ThreadsDoNotMatter) {
  std::vector<float> values[2];
  for (int threads : {1, 2}) {
    Toy toy("llama", threads);
    Optimizer optimizer(toy.c, toy.model().params(), {});
    for (uint64_t step = 0; step < 4; ++step)
      train_step(toy.c, toy.model(), toy_rows(6, step), optimizer, 1e-2);
    values[threads - 1] = toy.model().params().values().to_vector<float>();
  }
  EXPECT_EQ(values[0], values[1]);
}

TEST(Step, LossFallsOnRowsSeenAgain) {
  for (const char* family : {"llama", "bert"}) {
    Toy toy(family);
    Optimizer optimizer(toy.c, toy.model().params(), {});
    const std::vector<TrainPart> rows = {joined(toy_rows(4, 1))};
    const double first = train_step(toy.c, toy.model(), rows, optimizer, 1e-2).loss;
    EXPECT_NEAR(first, std::log(61), 0.2);
    for (int i = 0; i < 60; ++i) train_step(toy.c, toy.model(), rows, optimizer, 1e-2);
    const LossSum last = evaluate(toy.c, toy.model(), rows[0]);
    EXPECT_LT(last.sum.item() / static_cast<double>(last.count), 0.5 * first) << family;
  }
}

TEST(Step, RefusesWhatIsNotFiniteAndChangesNothing) {
  Toy toy;
  Optimizer optimizer(toy.c, toy.model().params(), {});
  toy.model().params().values().data<float>()[toy.model().params().elements() - 1] = INFINITY;
  toy.model().params().refresh(toy.c);
  const std::vector<float> before = toy.model().params().values().to_vector<float>();
  try {
    train_step(toy.c, toy.model(), toy_rows(2, 1), optimizer, 1e-2);
    FAIL() << "a loss that is not finite went through";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("optimizer.lr"), std::string::npos) << error.message();
  }
  EXPECT_EQ(optimizer.steps(), 0);
  EXPECT_EQ(toy.model().params().values().to_vector<float>(), before);
}

TEST(Step, NeedsALabelBelowTheVocabulary) {
  Toy toy;
  Optimizer optimizer(toy.c, toy.model().params(), {});
  std::vector<TrainPart> rows = toy_rows(1, 1);
  rows[0].labels.assign(rows[0].labels.size(), -100);
  EXPECT_THROW(train_step(toy.c, toy.model(), rows, optimizer, 1e-2), Error);
  rows[0].labels[0] = 61;
  EXPECT_THROW(train_step(toy.c, toy.model(), rows, optimizer, 1e-2), Error);
}

TEST(Objectives, LanguageLossIsTheSumOverLabelledRows) {
  Toy toy;
  TrainPart part = joined(toy_rows(3, 2));
  const LossSum all = evaluate(toy.c, toy.model(), part);
  double sum = 0;
  int64_t count = 0;
  const Ints labels = part.labels;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) continue;
    part.labels.assign(labels.size(), -100);
    part.labels[i] = labels[i];
    const LossSum one = evaluate(toy.c, toy.model(), part);
    EXPECT_EQ(one.count, 1);
    sum += one.sum.item();
    ++count;
  }
  EXPECT_EQ(all.count, count);
  EXPECT_NEAR(all.sum.item(), sum, 1e-5 * sum);
}

TEST(Objectives, NextLabelsStayInTheirSequence) {
  Stream stream;
  stream.append({1, 2, 3});
  stream.append({4});
  stream.append({5, 6});
  EXPECT_EQ(next_labels(stream, {10, 11, 12, 13, 14, -100}),
            (Ints{11, 12, -100, -100, -100, -100}));
}

}  // namespace
}  // namespace stemma
