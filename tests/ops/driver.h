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

#include <string>
#include <vector>

#include "ops/op.h"

namespace stemma::ops_test {

using Case = OpCase;
using Input = OpInput;

inline std::string case_name(const testing::TestParamInfo<Case>& info) { return info.param.name; }
inline void PrintTo(const Case& op, std::ostream* out) { *out << op.name; }

class Op : public testing::TestWithParam<Case> {};

}  // namespace stemma::ops_test
