#include "train/step.h"

#include <gtest/gtest.h>

#include <cmath>

#include "autograd/tape.h"
#include "model/adapter_files.h"
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

double norm(const std::vector<float>& v) {
  double sum = 0;
  for (float x : v) sum += static_cast<double>(x) * x;
  return std::sqrt(sum);
}

// However the rows are cut, each gradient is that of the mean over all counted labels.
TEST(Step, AccumulationIsTheLargeBatch) {
  for (const char* family : {"llama", "bert", "t5"}) {
    const std::vector<TrainPart> rows = toy_rows(8, 5, family);
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
    double largest = 0;
    for (size_t i = 0; i < count; ++i) largest = std::max(largest, norm(grads[i]));
    for (size_t cut : {1, 2})
      for (size_t i = 0; i < count; ++i) {
        // A key's bias has no gradient but rounding.
        if (norm(grads[i]) < 1e-5 * largest) continue;
        EXPECT_LE(relative(grads[cut * count + i], grads[i]), 1e-6) << family << " " << i;
      }
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
  for (const char* family : {"llama", "bert", "t5"}) {
    Toy toy(family);
    Optimizer optimizer(toy.c, toy.model().params(), {});
    const std::vector<TrainPart> rows = {joined(toy_rows(4, 1, family))};
    const double first = train_step(toy.c, toy.model(), rows, optimizer, 1e-2).loss;
    // T5's embeddings start at 1, and so do the logits' differences.
    EXPECT_NEAR(first, std::log(61), family == std::string_view("t5") ? 1.5 : 0.2);
    for (int i = 0; i < 60; ++i) train_step(toy.c, toy.model(), rows, optimizer, 1e-2);
    const LossSum last = evaluate(toy.c, toy.model(), rows[0]);
    EXPECT_LT(last.sum.item() / static_cast<double>(last.count), 0.5 * first) << family;
  }
}

// The weights are f32 whatever the products compute in: the curve is the one of f32, and steps that
// are lost in bf16 add up.
TEST(Step, Bf16FollowsF32) {
  for (const char* family : {"llama", "bert"}) {
    const std::vector<TrainPart> rows = {joined(toy_rows(4, 1))};
    std::vector<double> losses[2];
    for (const Format format : {Format::f32, Format::bf16}) {
      Toy toy(family);
      toy.model().set_format(format);
      Optimizer optimizer(toy.c, toy.model().params(), {});
      for (int i = 0; i < 60; ++i)
        losses[format == Format::bf16].push_back(
            train_step(toy.c, toy.model(), rows, optimizer, 1e-2).loss);
    }
    EXPECT_NE(losses[1], losses[0]);
    double furthest = 0;
    for (size_t i = 0; i < losses[0].size(); ++i)
      furthest = std::max(furthest, std::abs(losses[1][i] - losses[0][i]));
    RecordProperty(family, std::to_string(furthest));
    EXPECT_LE(furthest, 0.03) << family;  // nats
    EXPECT_LT(losses[0].back(), 0.5 * losses[0].front()) << family;
  }
}

TEST(Step, TheMastersOfBf16AreF32) {
  Toy toy;
  toy.model().set_format(Format::bf16);
  Optimizer optimizer(toy.c, toy.model().params(), {.weight_decay = 0});
  const std::vector<float> before = toy.model().params().values().to_vector<float>();
  const std::vector<TrainPart> rows = {joined(toy_rows(4, 1))};
  constexpr double kRate = 1e-6;  // what a value moves by in a first step; a norm's is 1
  train_step(toy.c, toy.model(), rows, optimizer, kRate);
  const std::vector<float> after = toy.model().params().values().to_vector<float>();
  const std::vector<float> grads = toy.model().params().grads().to_vector<float>();
  for (size_t i = 0; i < before.size(); ++i) ASSERT_EQ(after[i] != before[i], grads[i] != 0) << i;
}

// The gradients of an adapter, through an int8 base, are those through the f32 base but for what
// int8 costs; the base is not touched.
TEST(Step, AnAdapterLearnsBesideAnInt8Base) {
  const std::vector<TrainPart> rows = {joined(toy_rows(4, 1))};
  std::vector<float> grads[2];
  double last[2];
  for (const Format format : {Format::f32, Format::int8}) {
    const bool quantised = format == Format::int8;
    Toy toy;
    toy.model().set_format(format);
    const auto plain = [&] {
      Batch batch = rows[0].batch;
      batch.adapter = {-1, -1, -1, -1};
      return toy.model().forward(toy.c, batch).to_vector<float>();
    };
    const std::vector<float> values = toy.model().params().values().to_vector<float>();
    const std::vector<float> before = plain();
    toy.model().adapters().push_back(make_adapter(toy.checkpoint, {.rank = 4, .alpha = 8}));
    ParamStore& params = toy.model().adapters().front()->params();
    params.make_flat(toy.c, 7, true);
    Optimizer optimizer(toy.c, params, {});
    const double first = train_step(toy.c, toy.model(), rows, optimizer, 1e-2).loss;
    for (int i = 0; i < 5; ++i) train_step(toy.c, toy.model(), rows, optimizer, 1e-2);
    grads[quantised] = params.grads().to_vector<float>();
    for (int i = 0; i < 60; ++i)
      last[quantised] = train_step(toy.c, toy.model(), rows, optimizer, 1e-2).loss;
    EXPECT_LT(last[quantised], first - 0.3) << format_name(format);
    EXPECT_EQ(toy.model().params().values().to_vector<float>(), values);
    EXPECT_EQ(plain(), before);
  }
  RecordProperty("grads", std::to_string(relative(grads[1], grads[0])));
  EXPECT_LE(relative(grads[1], grads[0]), 0.1);
  EXPECT_NEAR(last[1], last[0], 0.02);
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
