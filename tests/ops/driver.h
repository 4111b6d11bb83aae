// The op driver: what every op must keep, checked for each row of a table of cases:
//   1. the gradient of the definition, in f64, against central differences;
//   2. values and gradients in f32, of the definition and of the kernel, against the f64
//   definition;
//   3. the kernel's bits: again, at every CPU level, with 1, 2 and 3 threads, and from strided
//   views;
//   4. a row alone gives the bits it gives among others, where inputs are marked `rows`.
// A test file is a table: INSTANTIATE_TEST_SUITE_P(Norms, Op, testing::ValuesIn(kCases),
// case_name).
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "autograd/tape.h"

namespace stemma::ops_test {

// One operand: uniform reals, or uniform indices in [low, high).
struct Input {
  Shape shape;
  bool rows = false;  // dimension 0 is the batch: the op treats its rows one by one
  bool grad = true;
  bool index = false;
  double low = -2, high = 2;

  static Input real(Shape shape) { return {shape}; }
  // The same for each row of a batch.
  static Input batch(Shape shape) { return {shape, true}; }
  static Input constant(Shape shape) { return {shape, false, false}; }
  static Input indices(Shape shape, int64_t low, int64_t high, bool rows = true) {
    return {shape, rows, false, true, static_cast<double>(low), static_cast<double>(high)};
  }
};

using Tensors = std::vector<Tensor>;

struct Case {
  std::string name;  // letters, digits and _
  // The operands for a problem of `rows` rows of size `n`; either may be 0.
  std::function<std::vector<Input>(int64_t rows, int64_t n)> inputs;
  std::function<Tensors(Ctx&, const Tensors&)> run;
  int64_t smallest = 0;     // the least n that means something
  double tolerance = 2e-6;  // f32 against f64: |a - b| <= tolerance * (1 + |b|)
  double grad_tolerance = 1e-5;
};

inline std::string case_name(const testing::TestParamInfo<Case>& info) { return info.param.name; }
inline void PrintTo(const Case& op, std::ostream* out) { *out << op.name; }

class Op : public testing::TestWithParam<Case> {};

}  // namespace stemma::ops_test
