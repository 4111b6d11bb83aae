// Comparison of tensors with a reference: error = ||ours - reference|| / max(||reference||, floor).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "eval/case.h"

namespace stemma {

constexpr double kOutputLimit = 1e-5, kGradientLimit = 1e-4;

// What is not a number is an error of any size.
double relative_error(std::span<const double> ours, std::span<const double> reference,
                      double floor = 0);
double relative_error(double ours, double reference);

std::vector<double> doubles(const Tensor& t);

// max(base, 3 x the error that `case_file` records for `name`), which counts up to `base`.
double error_limit(const Json& case_file, const std::string& name, double base);

// The values of `expected` that `ours` has: of a reference [B,T,...] that is padded as `layout`
// says, the real positions. Errors: the shapes do not fit each other.
std::vector<double> real_values(const Numbers& expected, const Padded& layout, const Tensor& ours);

}  // namespace stemma
