// The op driver: what every op must keep, checked for each case of each registered op at awkward
// sizes. Nobody writes a test for a new op. For each case:
//   1. the gradient of the definition, in f64, against central differences;
//   2. value and gradient in f32 of the definition, and of every pair of a forward and a backward
//      kernel at every CPU level, against the definition in f64;
//   3. the kernels' bits: again, at every level, with 1, 2 and 3 threads, from strided views, and
//      in buffers that end and that begin at a guard page;
//   4. a row alone gives the bits it gives among others, where operands are marked `rows`;
//   5. every kernel serves some case at some level of this CPU, or it would not be tested.
// Primitives, which are not registered, come in tables: INSTANTIATE_TEST_SUITE_P(Primitives, Op,
// testing::ValuesIn(kCases), case_name).
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ops/op.h"

namespace stemma::ops_test {

using Case = OpCase;
using Input = OpInput;

inline std::string case_name(const testing::TestParamInfo<Case>& info) { return info.param.name; }

// The cases of registered ops are called OP__CASE.
class Op : public testing::TestWithParam<Case> {};

}  // namespace stemma::ops_test

namespace stemma {
inline void PrintTo(const OpCase& c, std::ostream* out) { *out << c.name; }
}  // namespace stemma
