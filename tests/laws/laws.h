// What the law tests share: a random tiny model, batches for it, and the distance of two results.
#pragma once

#include <gtest/gtest.h>

#include <cmath>

#include "laws/random_spec.h"
#include "run/engine.h"

namespace stemma {

class Laws : public testing::TestWithParam<int> {
 protected:
  explicit Laws(int threads = 1) : engine_(threads), c_(engine_.ctx()) {}

  uint64_t seed() const { return static_cast<uint64_t>(GetParam()); }
  std::unique_ptr<Model> model(bool causal) { return made(random_spec(seed(), causal)); }
  std::unique_ptr<Model> made(const ModelSpec& spec) {
    auto m = std::make_unique<Model>(spec);
    m->params().make_flat(c_, seed(), true);
    // Norm weights and biases start as constants: move them, or they would hide mistakes.
    float* values = m->params().values().data<float>();
    const RngKey key = RngKey(seed()).of("move");
    for (int64_t i = 0; i < m->params().elements(); ++i)
      values[i] += static_cast<float>(0.2 * key.normal(static_cast<uint64_t>(i)));
    m->params().refresh(c_);
    return m;
  }
  static Batch batch_of(const std::vector<Ints>& sequences) {
    Batch batch;
    for (const Ints& s : sequences) batch.main.append(s);
    return batch;
  }

  Engine engine_;
  Ctx c_;
};

inline double relative(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    norm += static_cast<double>(b[i]) * b[i];
  }
  return a.size() == b.size() ? std::sqrt(difference / std::max(norm, 1e-30)) : INFINITY;
}

}  // namespace stemma
