#include "eval/compare.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace stemma {
namespace {

double norm(std::span<const double> values) {
  double total = 0;
  for (const double v : values) total += v * v;
  return std::sqrt(total);
}

}  // namespace

double relative_error(std::span<const double> ours, std::span<const double> reference,
                      double floor) {
  double total = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    const double d = ours[i] - reference[i];
    total += d * d;
  }
  const double scale = std::max(norm(reference), floor), difference = std::sqrt(total);
  if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
  return difference == 0 ? 0 : difference / scale;
}

double relative_error(double ours, double reference) {
  return relative_error(std::span(&ours, 1), std::span(&reference, 1));
}

std::vector<double> doubles(const Tensor& t) {
  const std::vector<float> values = t.to_vector<float>();
  return {values.begin(), values.end()};
}

double error_limit(const Json& case_file, const std::string& name, double base) {
  const Json* errors = case_file.find("reference_error");
  const Json* recorded = errors ? errors->find(name) : nullptr;
  const double known = recorded && recorded->is_number() ? recorded->as_double() : 0;
  return std::max(base, 3 * std::min(known, base));
}

std::vector<double> real_values(const Numbers& expected, const Padded& layout, const Tensor& ours) {
  std::vector<double> reference = expected.values;
  const int64_t padded = layout.tokens();
  const auto real = static_cast<int64_t>(layout.places.size());
  const int64_t elements = ours.elements();
  const bool per_token = expected.shape.size() >= 2 && ours.rank() >= 1 && ours.extent(0) == real &&
                         expected.elements() % padded == 0 &&
                         expected.elements() / padded == elements / std::max<int64_t>(1, real) &&
                         expected.shape[0] * expected.shape[1] == padded;
  if (per_token) {
    const int64_t width = expected.elements() / padded;
    reference.clear();
    for (const int64_t place : layout.places)
      for (int64_t k = 0; k < width; ++k)
        reference.push_back(expected.values[static_cast<size_t>(place * width + k)]);
  }
  check(static_cast<int64_t>(reference.size()) == elements, "ours has shape ",
        ours.shape().to_string(), ", the reference ", expected.elements(), " elements");
  return reference;
}

}  // namespace stemma
