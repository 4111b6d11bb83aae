#include "ops/driver/problem.h"

#include <array>
#include <cmath>

#include "base/rng.h"
#include "ops/primitives.h"

namespace stemma::ops_test {
namespace {

Team& team_of(int threads) {
  static std::array<Team, 3> teams = {Team(1), Team(2), Team(3)};
  return teams.at(static_cast<size_t>(threads - 1));
}

std::vector<double> draw(const Input& input, RngKey key) {
  std::vector<double> v(static_cast<size_t>(input.shape.elements()));
  for (size_t i = 0; i < v.size(); ++i) {
    const double x = input.low + (input.high - input.low) * key.uniform(i);
    v[i] = input.index ? std::floor(x) : static_cast<double>(static_cast<float>(x));
  }
  return v;
}

Tensor to_tensor(Ctx& c, const std::vector<double>& values, Shape shape, DType dtype) {
  const auto typed = [&]<class T>(T) {
    return Tensor::from<T>(c, std::vector<T>(values.begin(), values.end()), shape);
  };
  return dtype == DType::i32 ? typed(int32_t{}) : dtype == DType::f64 ? typed(0.0) : typed(0.0f);
}

double weight(size_t output, int64_t i) {
  return 2 * RngKey(7).at(output).uniform(static_cast<uint64_t>(i)) - 1;
}

}  // namespace

Problem make_problem(const Case& example, Size size) {
  Problem p{example, example.inputs(size.rows, size.n), {}};
  for (size_t i = 0; i < p.inputs.size(); ++i)
    p.values.push_back(draw(p.inputs[i], RngKey(1).at(i).at(static_cast<uint64_t>(size.n))));
  return p;
}

Runner::Runner(Setting s)
    : setting_(s), pool_(s.guard ? guard_memory(*s.guard) : Pool::Source()), c_{} {
  c_.team = &team_of(s.threads);
  c_.pool = &pool_;
  c_.kernels = s.kernels;
  c_.rec = this;
}

Tensor Runner::operand(const std::vector<double>& values, const Input& input) {
  const Shape& shape = input.shape;
  const DType dtype = input.index ? DType::i32 : setting_.dtype;
  if (!setting_.strided || shape.rank() == 0) return to_tensor(c_, values, shape, dtype);
  // Rows lie apart; the elements of a vector do.
  constexpr int64_t kGap = 3;
  Shape wide = shape;
  if (shape.rank() == 1) wide.push_back(1);
  const auto n = static_cast<size_t>(wide[-1]), step = n + kGap;
  wide[-1] += kGap;
  std::vector<double> spread(static_cast<size_t>(wide.elements()), input.index ? 1e6 : NAN);
  for (size_t i = 0; i < values.size(); ++i) spread[i / n * step + i % n] = values[i];
  Shape strides = wide.strides();
  if (shape.rank() == 1) strides = {strides[0]};
  return to_tensor(c_, spread, wide, dtype).view(shape, strides);
}

Tensors Runner::operands(const Problem& p) {
  Tensors in;
  for (size_t i = 0; i < p.inputs.size(); ++i) in.push_back(operand(p.values[i], p.inputs[i]));
  return in;
}

Tensor Runner::weighted(const Tensors& outputs, const Tape& tape) {
  Tensor loss;
  for (size_t k = 0; k < outputs.size(); ++k) {
    if (!tape.needs(outputs[k])) continue;
    std::vector<double> w(static_cast<size_t>(outputs[k].elements()));
    for (size_t i = 0; i < w.size(); ++i) w[i] = weight(k, static_cast<int64_t>(i));
    const Tensor weights = to_tensor(c_, w, outputs[k].shape(), setting_.dtype);
    const Tensor term = sum_all(c_, mul(c_, outputs[k], weights));
    loss = loss ? add(c_, loss, term) : term;
  }
  return loss;
}

Result Runner::run(const Problem& p) {
  uses_.clear();
  Result result;
  const Tensors in = operands(p);
  Tape tape;
  for (size_t i = 0; i < in.size(); ++i)
    if (p.inputs[i].grad) tape.watch(in[i]);
  c_.tape = &tape;
  result.outputs = p.example.run(c_, in);
  Tensor loss = weighted(result.outputs, tape);
  c_.tape = nullptr;
  if (loss) tape.backward(c_, loss);
  for (size_t i = 0; i < in.size(); ++i)
    result.gradients.push_back(p.inputs[i].grad ? tape.grad(in[i]) : Tensor());
  return result;
}

double Runner::loss(Problem& p, size_t input, size_t element, double by) {
  const double before = p.values[input][element];
  p.values[input][element] = before + by;
  double total = 0;
  const Tensors outputs = p.example.run(c_, operands(p));
  for (size_t k = 0; k < outputs.size(); ++k)
    for (int64_t i = 0; i < outputs[k].elements(); ++i) total += outputs[k].item(i) * weight(k, i);
  p.values[input][element] = before;
  return total;
}

bool Runner::used(const AnyOp& op, Phase phase, const char* kernel) const {
  for (const Use& use : uses_)
    if (use.op == op.name() && use.phase == phase && use.kernel == kernel) return true;
  return false;
}

std::vector<double> to_doubles(const Tensor& t) {
  if (t.dtype() == DType::f64) return t.to_vector<double>();
  const std::vector<float> v = t.to_vector<float>();
  return {v.begin(), v.end()};
}

}  // namespace stemma::ops_test
