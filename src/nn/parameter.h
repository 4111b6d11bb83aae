// Parameters: the named tensors a model learns. Layers declare what they need (name, shape, how to
// start); a store then binds each to a checkpoint's mapping (inference) or to its piece of one flat
// f32 buffer, with a gradient beside it (training).
// Flat buffers in declaration order make clipping, the optimiser and checkpoints loops over an
// array. Thread safety: const use from many threads; binding, allocating and refresh() from one.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/rng.h"
#include "ops/weight.h"
#include "tensor/tensor.h"

namespace stemma {

// How a parameter starts when there is no checkpoint: normal(0, std), uniform in [-bound, bound),
// or a constant.
struct Init {
  double std = 0, bound = 0, value = 0;
  static Init normal(double std) { return {std, 0, 0}; }
  static Init uniform(double bound) { return {0, bound, 0}; }
  static Init constant(double value) { return {0, 0, value}; }
  // The i-th element, under the parameter's key.
  float draw(const RngKey& key, int64_t i) const;
};

struct Parameter {
  std::string name;
  Shape shape;
  Init init;
  Tensor value;        // f32 [shape], undefined until bound or allocated
  Tensor grad;         // likewise, in training only
  int64_t offset = 0;  // first element in the flat buffers
};

class ParamStore {
 public:
  Parameter& declare(std::string name, Shape shape, Init init);
  // A matrix made of parameters of this store.
  Weight& declare_weight(int64_t width, std::vector<Weight::Slice> slices);
  const std::deque<Weight>& weights() const { return weights_; }
  Parameter* find(std::string_view name);
  std::deque<Parameter>& all() { return parameters_; }
  const std::deque<Parameter>& all() const { return parameters_; }
  int64_t elements() const { return elements_; }

  // Moves every parameter into one flat buffer, keeping bound values; those without one start as
  // their Init says, keyed by (seed, name). Makes zeroed gradients when `with_grads`.
  void make_flat(Ctx& c, uint64_t seed, bool with_grads);
  const Tensor& values() const { return values_; }  // [elements()], after make_flat
  const Tensor& grads() const { return grads_; }
  void zero_grads();
  // Values were written: makes the weights' packings agree with them.
  void refresh(Ctx& c);
  // Asks the tape for every gradient.
  void watch(Tape& tape) const;

 private:
  std::deque<Parameter> parameters_;  // deques: layers keep pointers
  std::deque<Weight> weights_;
  std::unordered_map<std::string, Parameter*> by_name_;
  int64_t elements_ = 0;
  Tensor values_, grads_;
};

}  // namespace stemma
