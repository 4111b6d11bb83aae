// Parameters: the named tensors a model learns. Layers declare what they need (name, shape, how to
// start); a store then binds each to a checkpoint's mapping (inference) or to its piece of one flat
// f32 buffer, with a gradient beside it (training). What is frozen stays where it is bound.
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

enum class Role : uint8_t {
  trained,  // has a gradient and moments
  frozen,   // keeps its value, bound or initial
  buffer,   // written by the layers themselves (running statistics); saved like the others
};

struct Parameter {
  std::string name;
  Shape shape;
  Init init;
  Role role = Role::trained;
  Tensor value;        // [shape]; f32, or as the file stores it; undefined until bound or made flat
  BlockScales scales;  // of a value stored as F8
  Tensor grad;         // f32 [shape], where it is trained
  int64_t offset = 0;  // first element in the flat buffers, where it is trained
};

class ParamStore {
 public:
  Parameter& declare(std::string name, Shape shape, Init init, Role role = Role::trained);
  // A matrix made of parameters of this store.
  Weight& declare_weight(int64_t width, std::vector<Weight::Slice> slices);
  const std::deque<Weight>& weights() const { return weights_; }
  Parameter* find(std::string_view name);
  const Parameter* find(std::string_view name) const;
  std::deque<Parameter>& all() { return parameters_; }
  const std::deque<Parameter>& all() const { return parameters_; }
  std::deque<Weight>& weights() { return weights_; }
  int64_t elements() const;          // of all parameters
  int64_t trained_elements() const;  // of the flat buffers

  // Gives memory to every parameter: those that are trained lie in one flat buffer, in the order in
  // which they were declared, keeping bound values; the others stay as they are bound. Where there
  // is no value yet, it starts as its Init says, keyed by (seed, name). Roles may change before.
  // With zeroed gradients where `with_grads`.
  void make_flat(Ctx& c, uint64_t seed, bool with_grads);
  const Tensor& values() const { return values_; }  // [trained_elements()], after make_flat
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
  Tensor values_, grads_;
};

}  // namespace stemma
