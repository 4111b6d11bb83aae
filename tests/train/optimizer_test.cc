#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

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
  optimizer.step(f.c, 0.5, optimizer.grad_norm(f.c));
  for (const Parameter& p : f.store.all())
    for (int64_t j = 0; j < p.shape.elements(); ++j) {
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

}  // namespace
}  // namespace stemma
