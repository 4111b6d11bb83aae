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
#include "nn/spec.h"
#include "ops/weight.h"
#include "tensor/tensor.h"

namespace stemma {

// How a parameter starts when there is no checkpoint.
struct Init {
  enum class Kind : uint8_t {
    constant,    // a
    normal,      // standard deviation a
    uniform,     // in [-a, a)
    log_counts,  // log(1 + i), i counting up to a numbers and then from 0 again
    time_steps,  // the inverse of softplus at max(c, exp of a uniform number in [log a, log b))
  };
  Kind kind = Kind::constant;
  double a = 0, b = 0, c = 0;
  static Init constant(double value) { return {Kind::constant, value}; }
  static Init normal(double std) { return {Kind::normal, std}; }
  static Init uniform(double bound) { return {Kind::uniform, bound}; }
  static Init log_counts(int64_t most) { return {Kind::log_counts, static_cast<double>(most)}; }
  static Init time_steps(const FirstSteps& s) { return {Kind::time_steps, s.low, s.high, s.least}; }
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
  bool widened =
      false;           // f32 whatever the file stores: read by ops that are no products or gathers
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
  int64_t elements() const;          // of all parameters; buffers are none
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
