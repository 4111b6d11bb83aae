#include "driver.h"

#include <cmath>
#include <cstring>

#include "base/rng.h"
#include "ops/primitives.h"
#include "simd/isa.h"

namespace stemma::ops_test {
namespace {

struct Size {
  int64_t rows, n;
};
// Tails of every vector length, empty extents, and one problem that is cut for several threads.
constexpr Size kSizes[] = {{3, 0}, {0, 5}, {3, 1}, {5, 3}, {4, 17}, {3, 63}, {1, 65}, {700, 65}};
constexpr int64_t kLargeRows = 100;  // from here on finite differences would take too long

template <class T>
Tensor to_tensor(Ctx& c, const std::vector<double>& values, Shape shape) {
  const std::vector<T> typed(values.begin(), values.end());
  return Tensor::from<T>(c, typed, shape);
}

// Values that f32 holds exactly, so that f32 and f64 runs see the same operands.
std::vector<double> draw(const Input& input, RngKey key) {
  std::vector<double> v(static_cast<size_t>(input.shape.elements()));
  for (size_t i = 0; i < v.size(); ++i) {
    const double x = input.low + (input.high - input.low) * key.uniform(i);
    v[i] = input.index ? std::floor(x) : static_cast<double>(static_cast<float>(x));
  }
  return v;
}

struct Problem {
  const Case& op;
  std::vector<Input> inputs;
  std::vector<std::vector<double>> values;
};

struct Result {
  Tensors outputs, gradients;  // one gradient an input, undefined where none is wanted or arrived
};

struct Setting {
  DType dtype = DType::f32;
  bool kernels = true;
  int threads = 1;
  bool strided = false;  // operands are views with gaps between their rows
};

// Runs the op, and backward from sum over outputs of <output, weights>, the weights drawn by the
// place of each element, so that they are the same in every run of a problem.
class Runner {
 public:
  explicit Runner(Setting s) : setting_(s), team_(s.threads), pool_(), c_{} {
    c_.team = &team_;
    c_.pool = &pool_;
    c_.kernels = s.kernels;
  }

  Tensors operands(const Problem& p) {
    Tensors in;
    for (size_t i = 0; i < p.inputs.size(); ++i) {
      const Shape& shape = p.inputs[i].shape;
      if (p.inputs[i].index)
        in.push_back(to_tensor<int32_t>(c_, p.values[i], shape));
      else if (setting_.dtype == DType::f64)
        in.push_back(to_tensor<double>(c_, p.values[i], shape));
      else
        in.push_back(setting_.strided ? strided(p.values[i], shape)
                                      : to_tensor<float>(c_, p.values[i], shape));
    }
    return in;
  }

  Result run(const Problem& p) {
    Result result;
    const Tensors in = operands(p);
    Tape tape;
    for (size_t i = 0; i < in.size(); ++i)
      if (p.inputs[i].grad) tape.watch(in[i]);
    c_.tape = &tape;
    result.outputs = p.op.run(c_, in);
    Tensor loss = weighted(result.outputs, tape);
    c_.tape = nullptr;
    if (loss) tape.backward(c_, loss);
    for (size_t i = 0; i < in.size(); ++i)
      result.gradients.push_back(p.inputs[i].grad ? tape.grad(in[i]) : Tensor());
    return result;
  }

  // The loss alone, in f64, with one value moved.
  double loss(Problem& p, size_t input, size_t element, double by) {
    const double before = p.values[input][element];
    p.values[input][element] = before + by;
    double total = 0;
    const Tensors outputs = p.op.run(c_, operands(p));
    for (size_t k = 0; k < outputs.size(); ++k)
      for (int64_t i = 0; i < outputs[k].elements(); ++i)
        total += outputs[k].item(i) * weight(k, i);
    p.values[input][element] = before;
    return total;
  }

 private:
  static double weight(size_t output, int64_t i) {
    return 2 * RngKey(7).at(output).uniform(static_cast<uint64_t>(i)) - 1;
  }

  Tensor strided(const std::vector<double>& values, const Shape& shape) {
    constexpr int64_t kGap = 3;
    if (shape.rank() == 0) return to_tensor<float>(c_, values, shape);
    Shape wide = shape;
    wide[-1] += kGap;
    std::vector<double> spread(static_cast<size_t>(wide.elements()), NAN);
    const auto n = static_cast<size_t>(shape[-1]), step = static_cast<size_t>(wide[-1]);
    for (size_t i = 0; i < values.size(); ++i) spread[i / n * step + i % n] = values[i];
    return to_tensor<float>(c_, spread, wide).view(shape, wide.strides());
  }

  Tensor weighted(const Tensors& outputs, const Tape& tape) {
    Tensor loss;
    for (size_t k = 0; k < outputs.size(); ++k) {
      if (!tape.needs(outputs[k])) continue;
      std::vector<double> w(static_cast<size_t>(outputs[k].elements()));
      for (size_t i = 0; i < w.size(); ++i) w[i] = weight(k, static_cast<int64_t>(i));
      const Tensor weights = setting_.dtype == DType::f64
                                 ? to_tensor<double>(c_, w, outputs[k].shape())
                                 : to_tensor<float>(c_, w, outputs[k].shape());
      const Tensor term = sum_all(c_, mul(c_, outputs[k], weights));
      loss = loss ? add(c_, loss, term) : term;
    }
    return loss;
  }

  Setting setting_;
  Team team_;
  Pool pool_;
  Ctx c_;
};

Problem make(const Case& op, Size size) {
  Problem p{op, op.inputs(size.rows, size.n), {}};
  for (size_t i = 0; i < p.inputs.size(); ++i)
    p.values.push_back(draw(p.inputs[i], RngKey(1).at(i).at(static_cast<uint64_t>(size.n))));
  return p;
}

std::vector<double> to_doubles(const Tensor& t) {
  if (t.dtype() == DType::f64) return t.to_vector<double>();
  const std::vector<float> v = t.to_vector<float>();
  return {v.begin(), v.end()};
}

void expect_close(const Tensors& got, const Tensors& want, double tolerance, const char* what,
                  double& worst) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t k = 0; k < got.size(); ++k) {
    ASSERT_EQ(static_cast<bool>(got[k]), static_cast<bool>(want[k])) << what << " " << k;
    if (!got[k]) continue;
    ASSERT_EQ(got[k].shape(), want[k].shape()) << what << " " << k;
    const std::vector<double> a = to_doubles(got[k]), b = to_doubles(want[k]);
    size_t at = 0;
    double most = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      const double error = a[i] == b[i] ? 0 : std::abs(a[i] - b[i]) / (1 + std::abs(b[i]));
      if (!(error <= most)) {  // a NaN counts
        most = error;
        at = i;
      }
    }
    if (!(most <= worst)) worst = most;
    EXPECT_TRUE(most <= tolerance)
        << what << " " << k << " at element " << at << ": " << a[at] << " instead of " << b[at];
  }
}

void expect_same_bits(const Tensors& got, const Tensors& want, const char* what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t k = 0; k < got.size(); ++k) {
    ASSERT_EQ(static_cast<bool>(got[k]), static_cast<bool>(want[k])) << what << " " << k;
    if (!got[k]) continue;
    const std::vector<float> a = got[k].to_vector<float>(), b = want[k].to_vector<float>();
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_EQ(std::memcmp(&a[i], &b[i], sizeof(float)), 0)
          << what << " " << k << " at element " << i << ": " << a[i] << " and " << b[i];
  }
}

void expect_same_bits(const Result& got, const Result& want) {
  expect_same_bits(got.outputs, want.outputs, "output");
  expect_same_bits(got.gradients, want.gradients, "gradient");
}

void check_gradient(Problem& p, const Result& exact) {
  Runner runner({DType::f64, true, 1});
  for (size_t i = 0; i < p.inputs.size(); ++i) {
    if (!exact.gradients[i]) continue;
    const size_t n = p.values[i].size(), step = std::max<size_t>(1, n / 23);
    for (size_t j = 0; j < n; j += step) {
      constexpr double kStep = 1e-5;
      const double slope =
          (runner.loss(p, i, j, kStep) - runner.loss(p, i, j, -kStep)) / (2 * kStep);
      const double gradient = exact.gradients[i].item(static_cast<int64_t>(j));
      EXPECT_NEAR(gradient, slope, 2e-7 * (1 + std::abs(slope)))
          << "gradient " << i << " of the definition at element " << j;
    }
  }
}

// Outputs have one row (dimension 0) for each row of the inputs marked so.
void check_rows(const Problem& p, const Result& whole) {
  int64_t rows = -1;
  for (const Input& input : p.inputs)
    if (input.rows) rows = input.shape[0];
  for (int64_t r : {int64_t{0}, rows / 2, rows - 1}) {
    if (r < 0 || rows < 2) continue;
    Problem alone = p;
    for (size_t i = 0; i < p.inputs.size(); ++i) {
      if (!p.inputs[i].rows) continue;
      const int64_t width = p.inputs[i].shape.elements() / rows;
      const auto begin = p.values[i].begin() + r * width;
      alone.inputs[i].shape[0] = 1;
      alone.values[i].assign(begin, begin + width);
    }
    Runner runner({});
    Tensors expected;
    for (const Tensor& t : whole.outputs) {
      Shape shape = t.shape(), strides = t.strides();
      shape[0] = 1;
      expected.push_back(t.view(shape, strides, r * strides[0]));
    }
    expect_same_bits(runner.run(alone).outputs, expected, "output of a row alone");
  }
}

TEST_P(Op, KeepsItsContract) {
  const Case& op = GetParam();
  double value_error = 0, gradient_error = 0, definition_error = 0;
  for (const Size& size : kSizes) {
    if (size.n < op.smallest) continue;
    SCOPED_TRACE(cat("rows ", size.rows, ", n ", size.n));
    Problem p = make(op, size);
    const Result exact = Runner({DType::f64, true, 1}).run(p);
    if (size.rows < kLargeRows) check_gradient(p, exact);

    const Result defined = Runner({DType::f32, false, 1}).run(p);
    expect_close(defined.outputs, exact.outputs, op.tolerance, "definition: output",
                 definition_error);
    expect_close(defined.gradients, exact.gradients, op.grad_tolerance, "definition: gradient",
                 definition_error);

    const Result result = Runner({}).run(p);
    expect_close(result.outputs, exact.outputs, op.tolerance, "output", value_error);
    expect_close(result.gradients, exact.gradients, op.grad_tolerance, "gradient", gradient_error);
    for (Isa level : available_isas()) {
      SCOPED_TRACE(isa_name(level));
      const ScopedIsa scoped(level);
      expect_same_bits(Runner({}).run(p), result);
    }
    for (int threads : {2, 3}) {
      SCOPED_TRACE(cat(threads, " threads"));
      expect_same_bits(Runner({DType::f32, true, threads}).run(p), result);
    }
    {
      SCOPED_TRACE("strided operands");
      // An operand used twice is copied twice, and its gradients are added in another order.
      const Result views = Runner({.strided = true}).run(p);
      expect_same_bits(views.outputs, result.outputs, "output");
      expect_close(views.gradients, exact.gradients, op.grad_tolerance, "gradient", gradient_error);
    }
    check_rows(p, result);
    if (HasFatalFailure()) return;
  }
  RecordProperty("value_error", cat(value_error));
  RecordProperty("gradient_error", cat(gradient_error));
  RecordProperty("definition_error", cat(definition_error));
}

// The cases of every registered op, under the names OP__CASE.
std::vector<Case> registered() {
  std::vector<Case> all;
  for (const AnyOp* op : all_ops())
    for (Case& example : op->cases()) {
      example.name = cat(op->name(), "__", example.name);
      all.push_back(std::move(example));
    }
  return all;
}
INSTANTIATE_TEST_SUITE_P(Registered, Op, testing::ValuesIn(registered()), case_name);

}  // namespace
}  // namespace stemma::ops_test
