// OpCase: an example of an op, from which the op driver (tests/ops) checks all that an op promises:
// gradient, kernels, CPU levels, threads, rows, strides, memory; and which `stemma bench ops`
// measures. Cases stand in the op's own file. Real operands are drawn uniformly, as values that f32
// holds exactly.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace stemma {

using Tensors = std::vector<Tensor>;

// One operand: uniform reals, or uniform i32 indices in [low, high).
struct OpInput {
  Shape shape;
  bool rows = false;  // dimension 0 is the batch: the op treats its rows one by one
  bool grad = true;
  bool index = false;
  double low = -2, high = 2;

  static OpInput real(Shape shape) { return {shape}; }
  static OpInput batch(Shape shape) { return {shape, true}; }
  // Takes no gradient.
  static OpInput constant(Shape shape) { return {shape, false, false}; }
  static OpInput indices(Shape shape, int64_t low, int64_t high, bool rows = true) {
    return {shape, rows, false, true, static_cast<double>(low), static_cast<double>(high)};
  }
  OpInput each_row() const {
    OpInput input = *this;
    input.rows = true;
    return input;
  }
  OpInput between(double from, double to) const {
    OpInput input = *this;
    input.low = from, input.high = to;
    return input;
  }
};

struct OpCase {
  std::string name;  // letters, digits and _
  // The operands of a problem of `rows` rows of size `n`; either may be 0.
  std::function<std::vector<OpInput>(int64_t rows, int64_t n)> inputs;
  // The call; `in` are tensors for inputs(). Where inputs are marked `rows`, so are the results.
  std::function<Tensors(Ctx&, const Tensors& in)> run;
  int64_t smallest = 0;     // the least n that means something
  double tolerance = 2e-6;  // f32 against f64: |a - b| <= tolerance * (1 + |b|)
  double grad_tolerance = 1e-5;
  // Floating-point operations of a forward, for measurements; null: only bytes count.
  std::function<double(int64_t rows, int64_t n)> operations = nullptr;
  bool timed = false;  // measured by `stemma bench ops`
};

}  // namespace stemma
