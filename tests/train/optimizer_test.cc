#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/rng.h"
#include "ops/linear.h"

namespace stemma {
namespace {

struct Fixture {
  explicit Fixture(int threads = 1) : team(threads) {
    c.team = &team;
    c.pool = &pool;
    store.declare("matrix", {300, 70}, Init::normal(1));
    store.declare("vector", {500}, Init::normal(1));
    store.declare("other", {3, 5, 2}, Init::normal(1));
    store.make_flat(c, 1, true);
  }
  void draw_grads(uint64_t step, double scale = 1) {
    const RngKey key = RngKey(9).at(step);
    float* g = store.grads().data<float>();
    for (int64_t i = 0; i < store.elements(); ++i)
      g[i] = static_cast<float>(scale * key.normal(static_cast<uint64_t>(i)));
  }
  Team team;
  Pool pool;
  Ctx c;
  ParamStore store;
};

// torch.optim.AdamW and clip_grad_norm_ in double precision.
struct Reference {
  std::vector<double> p, m, v;
  void step(const std::vector<float>& grads, const ParamStore& store, const OptimizerSpec& spec,
            double lr, int64_t t) {
    double squares = 0;
    for (float g : grads) squares += static_cast<double>(g) * g;
    const double clip = spec.max_grad_norm > 0
                            ? std::min(1.0, spec.max_grad_norm / (std::sqrt(squares) + 1e-6))
                            : 1;
    const auto [b1, b2] = spec.betas;
    const auto power = static_cast<double>(t);
    for (const Parameter& parameter : store.all())
      for (int64_t j = 0; j < parameter.shape.elements(); ++j) {
        const auto i = static_cast<size_t>(parameter.offset + j);
        const double g = grads[i] * clip;
        if (parameter.shape.rank() >= 2) p[i] *= 1 - lr * spec.weight_decay;
        m[i] = b1 * m[i] + (1 - b1) * g;
        v[i] = b2 * v[i] + (1 - b2) * g * g;
        p[i] -= lr / (1 - std::pow(b1, power)) * m[i] /
                (std::sqrt(v[i] / (1 - std::pow(b2, power))) + spec.eps);
      }
  }
};

TEST(AdamW, IsTorchs) {
  for (double max_grad_norm : {0.0, 1.0}) {
    Fixture f;
    OptimizerSpec spec;
    spec.max_grad_norm = max_grad_norm;
    Optimizer optimizer(f.c, f.store, spec);
    const std::vector<float> start = f.store.values().to_vector<float>();
    Reference reference;
    reference.p.assign(start.begin(), start.end());
    reference.m.resize(start.size());
    reference.v.resize(start.size());
    for (int64_t t = 1; t <= 20; ++t) {
      // Small gradients now and then: clipping must leave those alone.
      f.draw_grads(static_cast<uint64_t>(t), t % 3 ? 1 : 1e-4);
      const std::vector<float> grads = f.store.grads().to_vector<float>();
      const double lr = 1e-2 / static_cast<double>(t);
      const double norm = optimizer.grad_norm(f.c);
      double squares = 0;
      for (float g : grads) squares += static_cast<double>(g) * g;
      EXPECT_NEAR(norm, std::sqrt(squares), 1e-6 * norm);
      optimizer.step(f.c, lr, norm);
      reference.step(grads, f.store, spec, lr, t);
    }
    EXPECT_EQ(optimizer.steps(), 20);
    const std::vector<float> ours = f.store.values().to_vector<float>();
    for (size_t i = 0; i < ours.size(); ++i) ASSERT_NEAR(ours[i], reference.p[i], 3e-6) << i;
  }
}

TEST(AdamW, EpsIsOutsideTheRoot) {
  Fixture f;
  OptimizerSpec spec;
  spec.weight_decay = 0;
  spec.eps = 1e-5;
  Optimizer optimizer(f.c, f.store, spec);
  const float before = f.store.values().data<float>()[0];
  f.store.zero_grads();
  f.store.grads().data<float>()[0] = 1e-4f;
  optimizer.step(f.c, 1, optimizer.grad_norm(f.c));
  EXPECT_NEAR(before - f.store.values().data<float>()[0], 0.90909, 1e-5);
}

TEST(AdamW, DecaysMatricesOnly) {
  Fixture f;
  Optimizer optimizer(f.c, f.store, {});
  const std::vector<float> before = f.store.values().to_vector<float>();
  f.store.zero_grads();
  // Of each parameter but the first element; what no gradient reaches at all stays as it is.
  for (const Parameter& p : f.store.all()) p.grad.data<float>()[0] = 1e-3f;
  optimizer.step(f.c, 0.5, optimizer.grad_norm(f.c));
  for (const Parameter& p : f.store.all())
    for (int64_t j = 1; j < p.shape.elements(); ++j) {
      const auto i = static_cast<size_t>(p.offset + j);
      const float factor = p.shape.rank() >= 2 ? 0.95f : 1.0f;
      ASSERT_FLOAT_EQ(p.value.data<float>()[j], before[i] * factor) << p.name;
    }
}

TEST(AdamW, ThreadsDoNotMatter) {
  std::vector<float> values[2];
  for (int threads : {1, 2}) {
    Fixture f(threads);
    Optimizer optimizer(f.c, f.store, {});
    for (uint64_t t = 1; t <= 5; ++t) {
      f.draw_grads(t);
      optimizer.step(f.c, 1e-2, optimizer.grad_norm(f.c));
    }
    values[threads - 1] = f.store.values().to_vector<float>();
  }
  EXPECT_EQ(values[0], values[1]);
}

// After a step the packings are those of a weight that is packed afresh.
TEST(AdamW, RefreshesWhatIsPacked) {
  Team team(2);
  Pool pool;
  Ctx c{.team = &team, .pool = &pool};
  ParamStore store;
  const Parameter& matrix = store.declare("matrix", {70, 40}, Init::normal(1));
  const Parameter& bias = store.declare("bias", {70}, Init::normal(1));
  Weight& weight = store.declare_weight(40, {{"matrix", 70, &matrix.value, &bias.value}});
  store.make_flat(c, 1, true);
  const Tensor x = Tensor::from<float>(c, std::vector<float>(400, 0.5f), {10, 40});
  for (Format format : {Format::f32, Format::bf16}) {
    weight.set_layout({format});
    const std::vector<float> before = linear(c, x, weight).to_vector<float>();
    weight.transposed(c);
    std::fill_n(store.grads().data<float>(), store.trained_elements(), 1.0f);
    Optimizer optimizer(c, store, {});
    optimizer.step(c, 0.1, optimizer.grad_norm(c));
    const std::vector<float> after = linear(c, x, weight).to_vector<float>();
    EXPECT_NE(after, before);
    Weight fresh(40, {{"matrix", 70, &matrix.value, &bias.value}});
    fresh.set_layout({format});
    EXPECT_EQ(after, linear(c, x, fresh).to_vector<float>());
    EXPECT_EQ(std::memcmp(weight.transposed(c).data.get(), fresh.transposed(c).data.get(),
                          static_cast<size_t>(panels_bytes({format}, 70, 40))),
              0);
  }
}

TEST(AdamW, FrozenParametersAndBuffersStay) {
  Team team(1);
  Pool pool;
  Ctx c{.team = &team, .pool = &pool};
  ParamStore store;
  store.declare("first", {30, 2}, Init::normal(1));
  store.declare("frozen", {50}, Init::normal(1), Role::frozen);
  store.declare("statistics", {20}, Init::constant(3), Role::buffer);
  store.declare("last", {10, 4}, Init::normal(1));
  store.make_flat(c, 1, true);
  EXPECT_EQ(store.elements(), 150);
  EXPECT_EQ(store.trained_elements(), 100);
  std::vector<std::vector<float>> before;
  for (const Parameter& p : store.all()) before.push_back(p.value.to_vector<float>());
  std::fill_n(store.grads().data<float>(), store.trained_elements(), 1.0f);
  Optimizer optimizer(c, store, {});
  EXPECT_EQ(optimizer.exp_avg().elements(), 100);
  optimizer.step(c, 0.1, optimizer.grad_norm(c));
  for (size_t i = 0; i < before.size(); ++i) {
    const Parameter& p = store.all()[i];
    const std::vector<float> after = p.value.to_vector<float>();
    EXPECT_EQ(static_cast<bool>(p.grad), p.role == Role::trained);
    for (size_t k = 0; k < after.size(); ++k)
      EXPECT_EQ(after[k] == before[i][k], p.role != Role::trained) << p.name;
  }
}

}  // namespace
}  // namespace stemma
