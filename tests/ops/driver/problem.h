// Problem: a case at a size, with drawn operands; Runner: one way to run it, forwards and
// backwards.
#pragma once

#include <optional>
#include <vector>

#include "ops/driver.h"
#include "ops/driver/guard_memory.h"

namespace stemma::ops_test {

struct Size {
  int64_t rows, n;
};

struct Problem {
  const Case& example;
  std::vector<Input> inputs;
  std::vector<std::vector<double>> values;  // which f32 holds exactly
};
Problem make_problem(const Case& example, Size size);

struct Result {
  Tensors outputs, gradients;  // one gradient an input, undefined where none is wanted or arrived
};

struct Setting {
  DType dtype = DType::f32;
  bool kernels = true;
  int threads = 1;
  bool strided = false;  // operands are views with gaps
  std::optional<Edge> guard = {};
};

// Backwards it runs from the sum over outputs of <output, weights>, the weights drawn by the place
// of each element, so that they are the same in every run of a problem.
class Runner : Recorder {
 public:
  explicit Runner(Setting s);
  Result run(const Problem& p);
  // The loss alone, with one value moved.
  double loss(Problem& p, size_t input, size_t element, double by);
  // Whether the last run used this kernel of this op.
  bool used(const AnyOp& op, Phase phase, const char* kernel) const;

 private:
  struct Use {
    std::string_view op, kernel;
    Phase phase;
  };
  void ran(const OpRecord& r) override { uses_.push_back({r.op, r.kernel, r.phase}); }
  Tensors operands(const Problem& p);
  Tensor operand(const std::vector<double>& values, const Input& input);
  Tensor weighted(const Tensors& outputs, const Tape& tape);

  Setting setting_;
  Pool pool_;
  Ctx c_;
  std::vector<Use> uses_;
};

std::vector<double> to_doubles(const Tensor& t);

}  // namespace stemma::ops_test
