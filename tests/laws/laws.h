// What the law tests share: a random tiny model, batches for it, and the distance of two results.
#pragma once

#include <gtest/gtest.h>

#include <cmath>

#include "laws/random_spec.h"
#include "run/engine.h"

namespace stemma {

enum class Kind { encoder, decoder, both };
constexpr Kind kKinds[] = {Kind::encoder, Kind::decoder, Kind::both};

// A source that depends on the sequence alone, and is longer than it.
inline Ints source_of(const Ints& sequence) {
  Ints source(sequence.rbegin(), sequence.rend());
  source.insert(source.end(), 3, sequence.front());
  return source;
}

// With sources, where the model reads them.
inline Batch batch_of(const Model& model, const std::vector<Ints>& sequences) {
  Batch batch;
  if (model.spec().reads_source()) batch.source.emplace();
  for (const Ints& s : sequences) {
    batch.main.append(s);
    if (batch.source) batch.source->append(source_of(s));
  }
  return batch;
}

class Laws : public testing::TestWithParam<int> {
 protected:
  explicit Laws(int threads = 1) : engine_(threads), c_(engine_.ctx()) {}

  uint64_t seed() const { return static_cast<uint64_t>(GetParam()); }
  ModelSpec spec(Kind kind) const {
    return kind == Kind::both ? random_spec_of_both(seed())
                              : random_spec(seed(), kind == Kind::decoder);
  }
  std::unique_ptr<Model> model(Kind kind) { return made(spec(kind)); }
  std::unique_ptr<Model> made(const ModelSpec& spec) {
    auto m = std::make_unique<Model>(spec);
    m->params().make_flat(c_, seed(), true);
    // Norm weights and biases start as constants: move them, or they would hide mistakes.
    float* values = m->params().values().data<float>();
    const RngKey key = RngKey(seed()).of("move");
    for (int64_t i = 0; i < m->params().trained_elements(); ++i)
      values[i] += static_cast<float>(0.2 * key.normal(static_cast<uint64_t>(i)));
    for (const Parameter& p : m->params().all())
      for (int64_t i = 0; p.role == Role::buffer && i < p.shape.elements(); ++i)
        p.value.data<float>()[i] =
            static_cast<float>(0.2 * key.of(p.name).normal(static_cast<uint64_t>(i)));
    m->params().refresh(c_);
    return m;
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
