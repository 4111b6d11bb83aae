#include "ops/driver.h"

#include <cmath>
#include <cstring>
#include <map>

#include "ops/driver/problem.h"
#include "simd/isa.h"

namespace stemma::ops_test {
namespace {

// Tails of every vector length, empty extents, and one problem that is cut for several threads.
constexpr Size kSizes[] = {{3, 0}, {0, 5}, {3, 1}, {5, 3}, {4, 17}, {3, 63}, {1, 65}, {700, 65}};
constexpr int64_t kLargeRows = 100;       // from here on finite differences would take too long
constexpr int64_t kSharedElements = 400;  // results below are one thread's

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
  Runner runner({.dtype = DType::f64});
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
    Tensors expected;
    for (const Tensor& t : whole.outputs) {
      Shape shape = t.shape(), strides = t.strides();
      shape[0] = 1;
      expected.push_back(t.view(shape, strides, r * strides[0]));
    }
    expect_same_bits(Runner({}).run(alone).outputs, expected, "output of a row alone");
  }
}

struct Worst {
  double value = 0, gradient = 0;
};

// What runs at the current level with the kernels as they are pinned: `result`, in every other way.
void check_bits(const Problem& p, const Result& result) {
  for (Edge edge : {Edge::begin, Edge::end}) {
    SCOPED_TRACE(edge == Edge::begin ? "begins at a guard page" : "ends at a guard page");
    expect_same_bits(Runner({.guard = edge}).run(p), result);
  }
  for (int threads : {2, 3}) {
    if (result.outputs.at(0).elements() < kSharedElements) continue;
    SCOPED_TRACE(cat(threads, " threads"));
    expect_same_bits(Runner({.threads = threads}).run(p), result);
  }
  check_rows(p, result);
}

void check_strided(const Problem& p, const Result& exact, const Result& result, Worst& worst) {
  SCOPED_TRACE("strided operands");
  // An operand used twice is copied twice, and its gradients are added in another order.
  const Result views = Runner({.strided = true}).run(p);
  expect_same_bits(views.outputs, result.outputs, "output");
  expect_close(views.gradients, exact.gradients, p.example.grad_tolerance, "gradient",
               worst.gradient);
}

const std::vector<Isa>& levels_of(const OpTraits& traits) {
  return traits.dot_levels ? available_dot_isas() : available_isas();
}

// The kernels as they are pinned, at each of `levels`.
void check_levels(const Problem& p, const Result& exact, const std::vector<Isa>& levels,
                  const OpTraits& traits, Worst& worst) {
  std::optional<Result> first;
  for (Isa level : levels) {
    SCOPED_TRACE(isa_name(level));
    const ScopedIsa scoped(level);
    const Result result = Runner({}).run(p);
    expect_close(result.outputs, exact.outputs, p.example.tolerance, "output", worst.value);
    expect_close(result.gradients, exact.gradients, p.example.grad_tolerance, "gradient",
                 worst.gradient);
    check_bits(p, result);
    if (level == levels.back()) check_strided(p, exact, result, worst);
    if (first && traits.same_at_every_level) {
      SCOPED_TRACE("against the lowest level");
      expect_same_bits(result, *first);
    }
    if (!first) first = result;
    if (testing::Test::HasFatalFailure()) return;
  }
}

// Whether the op runs the pinned kernel at some level for this problem.
bool serves(const Problem& p, const AnyOp& op, Phase phase, const char* kernel) {
  for (Isa level : levels_of(op.traits())) {
    const ScopedIsa scoped(level);
    Runner runner({});
    runner.run(p);
    if (runner.used(op, phase, kernel)) return true;
  }
  return false;
}

bool is_definition(std::string_view kernel) { return kernel == "define"; }

void check_kernels(const Problem& p, const Result& exact, const AnyOp& op,
                   std::map<std::string, Worst>& worst) {
  const std::vector<Isa>& all = levels_of(op.traits());
  for (const char* forward : op.kernels(Phase::forward)) {
    const ScopedKernel pin(op, Phase::forward, forward);
    if (!is_definition(forward) && !serves(p, op, Phase::forward, forward)) continue;
    for (const char* backward : op.kernels(Phase::backward)) {
      const ScopedKernel pin_backward(op, Phase::backward, backward);
      const bool kernels = !is_definition(forward) && !is_definition(backward);
      const std::string both = cat(forward, "_", backward);
      SCOPED_TRACE(both);
      // What the definition does is the primitives' business, which know no level.
      check_levels(p, exact, kernels ? all : std::vector<Isa>{isa()}, op.traits(), worst[both]);
      // A definition that ran forwards is differentiated as it stands.
      if (is_definition(forward)) break;
    }
  }
}

// The op of a registered case; null for a primitive's.
const AnyOp* op_of(const Case& example) {
  const size_t length = example.name.find("__");
  for (const AnyOp* op : all_ops())
    if (length != std::string::npos && op->name() == example.name.substr(0, length)) return op;
  return nullptr;
}

TEST_P(Op, KeepsItsContract) {
  const Case& example = GetParam();
  const AnyOp* op = op_of(example);
  std::map<std::string, Worst> worst;
  for (const Size& size : kSizes) {
    if (size.n < example.smallest) continue;
    SCOPED_TRACE(cat("rows ", size.rows, ", n ", size.n));
    Problem p = make_problem(example, size);
    const Result exact = Runner({.dtype = DType::f64}).run(p);
    if (size.rows < kLargeRows) check_gradient(p, exact);
    {
      SCOPED_TRACE("definition");
      const Result defined = Runner({.kernels = false}).run(p);
      Worst& errors = worst["definition"];
      expect_close(defined.outputs, exact.outputs, example.tolerance, "output", errors.value);
      expect_close(defined.gradients, exact.gradients, example.grad_tolerance, "gradient",
                   errors.gradient);
    }
    if (op)
      check_kernels(p, exact, *op, worst);
    else
      check_levels(p, exact, available_isas(), {}, worst["kernels"]);
    if (HasFatalFailure()) return;
  }
  for (const auto& [kernels, error] : worst) {
    RecordProperty(kernels + "_value_error", cat(error.value));
    RecordProperty(kernels + "_gradient_error", cat(error.gradient));
  }
}

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

bool serves_some_case(const AnyOp& op, Phase phase, const char* kernel) {
  const ScopedKernel pin(op, phase, kernel);
  for (const Case& example : op.cases())
    for (const Size& size : kSizes)
      if (size.n >= example.smallest && serves(make_problem(example, size), op, phase, kernel))
        return true;
  return false;
}

TEST(Ops, EveryKernelServesACase) {
  for (const AnyOp* op : all_ops()) {
    if (op->cases().empty()) continue;
    for (Phase phase : {Phase::forward, Phase::backward})
      for (const char* kernel : op->kernels(phase))
        EXPECT_TRUE(serves_some_case(*op, phase, kernel) ||
                    (phase == Phase::backward && op->kernels(Phase::forward).size() == 1))
            << op->name() << (phase == Phase::backward ? "/backward" : "") << ":" << kernel;
  }
}

}  // namespace
}  // namespace stemma::ops_test
