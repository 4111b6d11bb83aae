// The primitives: a row each. Domains keep away from kinks and poles.
#include "ops/primitives.h"

#include "ops/driver.h"

namespace stemma::ops_test {
namespace {

using Sizes = std::vector<Input>;

Input positive(Shape shape) {
  Input in = Input::real(shape);
  in.low = 0.3;
  return in;
}

template <class F>
Case unary(const char* name, F f, bool above_zero = false) {
  return {name,
          [above_zero](int64_t rows, int64_t n) {
            return Sizes{above_zero ? positive({rows, n}) : Input::real({rows, n})};
          },
          [f](Ctx& c, const Tensors& in) { return Tensors{f(c, in[0])}; }};
}

// Both operands full, and the second broadcast along either dimension.
template <class F>
Case binary(const char* name, F f, bool above_zero = false) {
  return {name,
          [above_zero](int64_t rows, int64_t n) {
            auto make = [&](Shape s) { return above_zero ? positive(s) : Input::real(s); };
            return Sizes{make({rows, n}), make({rows, n}), make({n}), make({rows, 1})};
          },
          [f](Ctx& c, const Tensors& in) {
            return Tensors{f(c, in[0], in[1]), f(c, in[0], in[2]), f(c, in[3], in[0])};
          }};
}

const Case kCases[] = {
    binary("add", [](Ctx& c, const Tensor& a, const Tensor& b) { return add(c, a, b); }),
    binary("sub", [](Ctx& c, const Tensor& a, const Tensor& b) { return sub(c, a, b); }),
    binary("mul", [](Ctx& c, const Tensor& a, const Tensor& b) { return mul(c, a, b); }),
    binary(
        "div", [](Ctx& c, const Tensor& a, const Tensor& b) { return div(c, a, b); }, true),
    binary("maximum", [](Ctx& c, const Tensor& a, const Tensor& b) { return maximum(c, a, b); }),
    binary("where",
           [](Ctx& c, const Tensor& a, const Tensor& b) {
             Ctx quiet = c;
             quiet.tape = nullptr;
             return where(c, less_equal(quiet, a, b), mul(c, a, 2.0), b);
           }),
    unary("neg", [](Ctx& c, const Tensor& a) { return neg(c, a); }),
    unary("add_constant", [](Ctx& c, const Tensor& a) { return add(c, a, 1.5); }),
    unary("mul_constant", [](Ctx& c, const Tensor& a) { return mul(c, a, -2.5); }),
    unary("square", [](Ctx& c, const Tensor& a) { return square(c, a); }),
    unary("exp", [](Ctx& c, const Tensor& a) { return exp(c, a); }),
    unary(
        "log", [](Ctx& c, const Tensor& a) { return log(c, a); }, true),
    unary(
        "sqrt", [](Ctx& c, const Tensor& a) { return sqrt(c, a); }, true),
    unary(
        "rsqrt", [](Ctx& c, const Tensor& a) { return rsqrt(c, a); }, true),
    unary("tanh", [](Ctx& c, const Tensor& a) { return tanh(c, a); }),
    unary("erf", [](Ctx& c, const Tensor& a) { return erf(c, a); }),
    unary("sin", [](Ctx& c, const Tensor& a) { return sin(c, a); }),
    unary("cos", [](Ctx& c, const Tensor& a) { return cos(c, a); }),
    unary("abs", [](Ctx& c, const Tensor& a) { return abs(c, a); }),
    {"sum",
     [](int64_t rows, int64_t n) {
       return Sizes{Input::real({rows, n, 2})};
     },
     [](Ctx& c, const Tensors& in) {
       return Tensors{sum(c, in[0], 0), sum(c, in[0], 1), sum(c, in[0], -1), sum_all(c, in[0])};
     },
     0, 1e-5},
    {"mean",
     [](int64_t rows, int64_t n) {
       return Sizes{Input::real({rows, n})};
     },
     [](Ctx& c, const Tensors& in) { return Tensors{mean(c, in[0], -1)}; }, 1},
    {"max",
     [](int64_t rows, int64_t n) {
       return Sizes{Input::real({rows, n, 2})};
     },
     [](Ctx& c, const Tensors& in) { return Tensors{max(c, in[0], 1)}; }, 1},
    {"matmul",
     [](int64_t rows, int64_t n) {
       return Sizes{Input::real({2, rows, n}), Input::real({n, 3}), Input::real({2, n, 3})};
     },
     [](Ctx& c, const Tensors& in) {
       return Tensors{matmul(c, in[0], in[1]), matmul(c, in[0], in[2])};
     },
     0, 2e-5, 2e-5},
    {"gather",
     [](int64_t rows, int64_t n) {
       return Sizes{Input::real({5, n}), Input::indices({rows}, 0, 5)};
     },
     [](Ctx& c, const Tensors& in) { return Tensors{gather(c, in[0], in[1])}; }},
    {"scatter_add",
     [](int64_t rows, int64_t n) {
       return Sizes{Input::real({rows, n}), Input::indices({rows}, 0, 4, false)};
     },
     [](Ctx& c, const Tensors& in) { return Tensors{scatter_add(c, in[0], in[1], 4)}; }, 0, 1e-5},
    {"pick",
     [](int64_t rows, int64_t n) {
       return Sizes{Input::batch({rows, n}), Input::indices({rows}, -1, n)};
     },
     [](Ctx& c, const Tensors& in) { return Tensors{pick(c, in[0], in[1])}; }, 1},
    {"views",
     [](int64_t rows, int64_t n) {
       return Sizes{Input::real({rows, n, 2})};
     },
     [](Ctx& c, const Tensors& in) {
       const int64_t rows = in[0].extent(0), n = in[0].extent(1);
       const Tensor turned = permute(c, in[0], {2, 0, 1});
       return Tensors{
           contiguous(c, turned),
           reshape(c, turned, {2 * rows, n}),
           slice(c, in[0], 1, n / 3, n),
           reshape(c, slice(c, in[0], 2, 1, 2), {rows, n}),                       // a view
           reshape(c, slice(c, in[0], 1, n / 3, n), {rows * (n - n / 3), 2, 1}),  // a copy
           transpose(c, in[0], 0, 2),
           broadcast_to(c, slice(c, in[0], 2, 0, 1), {rows, n, 3}),
       };
     }},
    {"concat",
     [](int64_t rows, int64_t n) {
       return Sizes{Input::real({rows, n}), Input::real({rows, 2}), Input::real({3, n})};
     },
     [](Ctx& c, const Tensors& in) {
       return Tensors{concat(c, {in[0], in[1]}, 1), concat(c, {in[2], in[0]}, 0)};
     }},
    {"split",
     [](int64_t rows, int64_t n) {
       return Sizes{Input::batch({rows, 3 * n + 1})};
     },
     [](Ctx& c, const Tensors& in) {
       const int64_t n = in[0].extent(1) / 3;
       const Pieces parts = split(c, in[0], 1, {n, 1, 2 * n});
       return Tensors{mul(c, parts[0], parts[0]), square(c, parts[2])};  // one takes no gradient
     }},
    // One tensor used twice, and a chain: gradients add up.
    {"shared",
     [](int64_t rows, int64_t n) {
       return Sizes{Input::real({rows, n})};
     },
     [](Ctx& c, const Tensors& in) {
       const Tensor y = mul(c, in[0], in[0]);
       return Tensors{add(c, y, mul(c, y, in[0])), reshape(c, y, {y.elements()})};
     },
     0, 1e-5},
};

INSTANTIATE_TEST_SUITE_P(Primitives, Op, testing::ValuesIn(kCases), case_name);

}  // namespace
}  // namespace stemma::ops_test
