// Gradients: dx = dy W; dW = dy^T x, into each slice's own; db = the sum of dy's rows.
#include "ops/linear.h"

#include <algorithm>

#include "ops/glu.h"
#include "ops/op.h"
#include "ops/rows.h"
#include "ops/weight_case.h"
#include "tensor/mapped.h"

namespace stemma {
namespace {

// Of a Weight, or of loose tensors w and b.
struct Linear {
  Tensor x, w = {}, b = {};
  const Weight* weight = nullptr;
  LinearThen then = {};
  Tensor y = {};
};

// fn(slice) for each slice of W; the bias may be undefined.
template <class F>
void each_slice(const Linear& p, F fn) {
  if (p.weight) {
    for (const Weight::Slice& slice : p.weight->slices()) fn(slice);
  } else {
    fn(Weight::Slice{.name = "w", .rows = p.w.extent(0), .value = &p.w, .bias = &p.b});
  }
}

// W^T of a slice, [K,n]. What a file stores narrower takes no gradient.
Tensor transposed_values(Ctx& c, const Linear& p, const Weight::Slice& slice) {
  const int64_t first = slice.first, rows = slice.transposed ? p.x.extent(1) : slice.rows;
  const DType dtype = slice.value->dtype();
  const Tensor w =
      dtype == DType::f8_e4m3
          ? widen_blocks(c, *slice.value, *slice.scales, first, rows)
          : stemma::slice(c, dtype == p.x.dtype() ? *slice.value : to_f32(c, *slice.value), 0,
                          first, first + rows);
  return slice.transposed ? w : transpose(c, w, 0, 1);
}

void define(Ctx& c, Linear& p) {
  std::vector<Tensor> parts;
  each_slice(p, [&](const Weight::Slice& slice) {
    const Tensor y = matmul(c, p.x, transposed_values(c, p, slice));
    parts.push_back(slice.bias && *slice.bias ? add(c, y, *slice.bias) : y);
  });
  p.y = follow(c, parts.size() == 1 ? parts[0] : concat(c, parts, 1), p.then);
}

MatrixRef matrix(const Tensor& x, bool transposed = false) {
  return {x.bytes(), x.strides()[0], transposed, x.dtype()};
}

const char* why_not(const Linear& p) {
  return p.x.dtype() == DType::f32 ? nullptr : "it computes in F32";
}

void forward(Ctx& c, Linear& p, bool) {
  const int64_t t = p.x.extent(0), k = p.x.extent(1);
  Epilogue epilogue{.activation = p.then.activation, .gated = p.then.gated};
  const int64_t n = p.weight ? p.weight->rows() : p.w.extent(0);
  const int64_t width = p.then.gated ? n / 2 : n;
  p.y = Tensor::empty(c, {t, width});
  if (p.weight) {
    const Weight::Forward packed = p.weight->forward(c);
    epilogue.bias = rows::data_or_null(packed.bias);
    gemm(c, t, matrix(p.x), packed.panels, epilogue, p.y.data<float>(), width);
  } else {
    epilogue.bias = rows::data_or_null(p.b);
    gemm(c, t, n, k, matrix(p.x), matrix(p.w, true), epilogue, p.y.data<float>(), width);
  }
}

constexpr Epilogue kAdd{.accumulate = true};

// Under a tape linear() runs what follows as ops of its own.
const char* why_not_backward(const Linear& p) {
  if (p.then.gated || p.then.activation != Activation::identity) return "more than the product";
  return why_not(p);
}

void backward(Ctx& c, const Linear& p, std::span<const Tensor> d, Grads& g) {
  const int64_t t = p.x.extent(0), k = p.x.extent(1), n = d[0].extent(1);
  const float* dy = d[0].data<float>();
  if (g.wants(p.x)) {
    float* dx = g.into(c, p.x).data<float>();
    if (p.weight)
      gemm(c, t, {dy, n}, p.weight->transposed(c), kAdd, dx, k);
    else
      gemm(c, t, k, n, {dy, n}, matrix(p.w), kAdd, dx, k);
  }
  const bool bf16 = p.weight && p.weight->layout().format == Format::bf16;
  Panels x;  // packed once for all slices
  each_slice(p, [&](const Weight::Slice& slice) {
    const int64_t width = slice.rows;  // of y
    if (g.wants(*slice.value)) {
      const Format format = bf16 ? Format::bf16 : Format::f32;
      float* dw = g.into(c, *slice.value).data<float>();
      if (slice.transposed) {
        gemm(c, k, width, t, matrix(p.x, true), {dy, n}, kAdd, dw + slice.first * width, width,
             format);
      } else {
        if (!x) x = pack_panels(c, matrix(p.x), t, k, {format});
        gemm(c, width, {dy, n, true}, x, kAdd, dw + slice.first * k, k);
      }
    }
    if (slice.bias && *slice.bias && g.wants(*slice.bias))
      rows::add_sum(c, dy, t, n, width, g.into(c, *slice.bias).data<float>());
    dy += width;
  });
}

// Small, so that a sum of hundreds of products keeps the driver's tolerance.
OpInput small(const OpInput& input) { return input.between(-0.3, 0.3); }

using Sizes = std::vector<OpInput>;

OpCase of_weight(std::string name, LinearThen then) {
  return {.name = std::move(name),
          .inputs =
              [](int64_t rows, int64_t n) {
                return Sizes{small(OpInput::batch({rows, n})), small(OpInput::real({n + 2, n})),
                             small(OpInput::real({n + 2})),    small(OpInput::real({n, n})),
                             small(OpInput::real({2, n})),     small(OpInput::real({2}))};
              },
          // Three slices, one without a bias.
          .run = [then](Ctx& c, const Tensors& in) -> Tensors {
            const auto w = taped_weight(c, {{in[1], in[2]}, {in[3], {}}, {in[4], in[5]}});
            return {linear(c, in[0], *w, then)};
          },
          .smallest = 1};
}

// Some rows of a value, as they are or as columns.
OpCase of_rows(std::string name, bool transposed) {
  return {.name = std::move(name),
          .inputs =
              [transposed](int64_t rows, int64_t n) {
                const OpInput value = OpInput::real({2 * n + 3, transposed ? n + 1 : n});
                return Sizes{small(OpInput::batch({rows, n})), small(value)};
              },
          .run = [transposed](Ctx& c, const Tensors& in) -> Tensors {
            const auto w = taped_weight(c, in[0].extent(1),
                                        {.name = "rows",
                                         .rows = in[0].extent(1) + (transposed ? 1 : 0),
                                         .value = &in[1],
                                         .first = 2,
                                         .transposed = transposed});
            return {linear(c, in[0], *w)};
          },
          .smallest = 1};
}

std::vector<OpCase> cases() {
  return {
      {.name = "bias",
       .inputs =
           [](int64_t rows, int64_t n) {
             return Sizes{small(OpInput::batch({rows, n})), small(OpInput::real({n + 2, n})),
                          small(OpInput::real({n + 2}))};
           },
       .run = [](Ctx& c, const Tensors& in) -> Tensors { return {linear(c, in[0], in[1], in[2])}; },
       .operations = [](int64_t rows,
                        int64_t n) { return 2.0 * static_cast<double>(rows * n * (n + 2)); },
       .timed = true},
      {.name = "no_bias",
       .inputs =
           [](int64_t rows, int64_t n) {
             return Sizes{small(OpInput::batch({rows, n})), small(OpInput::real({2 * n + 1, n}))};
           },
       .run = [](Ctx& c, const Tensors& in) -> Tensors { return {linear(c, in[0], in[1])}; }},
      of_weight("slices", {}),
      of_rows("rows", false),
      of_rows("transposed", true),
      of_weight("then_gelu", {.activation = Activation::gelu}),
      of_weight("then_gated", {.activation = Activation::silu, .gated = true}),
  };
}

const Op<Linear> kLinear{
    {.name = "linear",
     .operands = {&Linear::x, &Linear::w, &Linear::b},
     .results = {&Linear::y},
     .reads = rows::apart,
     .packed =
         [](const Linear& p) {
           return p.weight ? std::optional(p.weight->packed()) : std::nullopt;
         },
     .needed = [](const Linear& p, const Tape& tape) { return p.weight && p.weight->needed(tape); },
     .define = define,
     .forward = {{"gemm", forward, why_not}},
     .backward = {{"gemm", backward, why_not_backward}},
     .cases = cases}};

void check_shapes(const Tensor& x, int64_t n, int64_t k) {
  check(x.rank() == 2 && x.extent(1) == k, "[linear] x ", x.shape().to_string(),
        " does not fit a weight [", n, ", ", k, "]; x must be [T,K], the weight [N,K]");
}

}  // namespace

Tensor follow(Ctx& c, const Tensor& y, const LinearThen& then) {
  if (then.gated) {
    const int64_t half = y.extent(1) / 2;
    const Pieces halves = split(c, y, 1, {half, y.extent(1) - half});
    return glu(c, halves[0], halves[1], then.activation);
  }
  return then.activation == Activation::identity ? y : activation(c, y, then.activation);
}

Tensor linear(Ctx& c, const Tensor& x, const Weight& w, const LinearThen& then) {
  check_shapes(x, w.rows(), w.width());
  // A gradient needs what the product itself gives.
  const bool alone = c.tape && (c.tape->needs(x) || w.needed(*c.tape));
  const Tensor y = kLinear(c, {.x = x, .weight = &w, .then = alone ? LinearThen() : then}).y;
  return alone ? follow(c, y, then) : y;
}

Tensor linear(Ctx& c, const Tensor& x, const Tensor& w, const Tensor& b) {
  check(w.rank() == 2, "[linear] a weight ", w.shape().to_string(), "; it must be [N,K]");
  check_shapes(x, w.extent(0), w.extent(1));
  check(!b || (b.rank() == 1 && b.extent(0) == w.extent(0)), "[linear] bias ",
        b.shape().to_string(), " does not fit a weight ", w.shape().to_string(), "; it must be [",
        w.extent(0), "]");
  return kLinear(c, {.x = x, .w = w, .b = b}).y;
}

}  // namespace stemma
