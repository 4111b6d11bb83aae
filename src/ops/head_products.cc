// y[t,h,n] = sum_d x[t,h,d] table[n,h,d]: one matrix product a head, on columns of the operands.
// Gradients, a head at a time: dx += dy table; dtable += dy^T x.
#include "ops/head_products.h"

#include "gemm/gemm.h"
#include "ops/op.h"

namespace stemma {
namespace {

struct HeadProducts {
  Tensor x, table;
  DType dtype = DType::f32;  // that operands are multiplied in
  Tensor y = {};

  int64_t heads() const { return x.extent(1); }
  Format format() const { return dtype == DType::bf16 ? Format::bf16 : Format::f32; }
};

void define(Ctx& c, HeadProducts& p) {
  const Tensor x = permute(c, p.x, {1, 0, 2}), table = permute(c, p.table, {1, 2, 0});
  p.y = contiguous(c, permute(c, matmul(c, x, table), {1, 0, 2}));
}

// A head's columns of rows [n, H, width].
MatrixRef head_of(const Tensor& t, int64_t head, bool transposed = false) {
  return {t.data<float>() + head * t.strides()[1], t.strides()[0], transposed};
}

void forward(Ctx& c, HeadProducts& p, bool) {
  const int64_t rows = p.x.extent(0), d = p.x.extent(2), n = p.table.extent(0);
  p.y = Tensor::empty(c, {rows, p.heads(), n});
  for (int64_t h = 0; h < p.heads(); ++h)
    gemm(c, rows, n, d, head_of(p.x, h), head_of(p.table, h, true), {}, p.y.data<float>() + h * n,
         p.heads() * n, p.format());
}

void backward(Ctx& c, const HeadProducts& p, std::span<const Tensor> dy, Grads& g) {
  const int64_t rows = p.x.extent(0), d = p.x.extent(2), n = p.table.extent(0);
  constexpr Epilogue kAdd{.accumulate = true};
  const auto to = [&](const Tensor& t, int64_t h) { return g.into(c, t).data<float>() + h * d; };
  for (int64_t h = 0; h < p.heads(); ++h) {
    if (g.wants(p.x))
      gemm(c, rows, d, n, head_of(dy[0], h), head_of(p.table, h), kAdd, to(p.x, h), p.heads() * d,
           p.format());
    if (g.wants(p.table))
      gemm(c, n, d, rows, head_of(dy[0], h, true), head_of(p.x, h), kAdd, to(p.table, h),
           p.heads() * d, p.format());
  }
}

// Rows at any distance, the heads of each side by side.
bool has_dense_heads(const Tensor& t) {
  return t.strides()[2] == 1 && t.strides()[1] == t.extent(2);
}

const char* why_not(const HeadProducts& p) {
  return p.x.dtype() == DType::f32 ? nullptr : "it computes in F32";
}

std::vector<OpCase> cases() {
  const auto inputs = [](int64_t rows, int64_t n) {
    return std::vector{OpInput::batch({rows, 3, n}).between(-0.4, 0.4),
                       OpInput::real({5, 3, n}).between(-0.4, 0.4)};
  };
  const auto run = [](Ctx& c, const Tensors& in) -> Tensors {
    return {head_products(c, in[0], in[1])};
  };
  const auto in_bf16 = [](Ctx& c, const Tensors& in) -> Tensors {
    Ctx inside = c;
    inside.num.dtype = DType::bf16;
    return {head_products(inside, in[0], in[1])};
  };
  return {{.name = "f32", .inputs = inputs, .run = run, .smallest = 1},
          {.name = "bf16",
           .inputs = inputs,
           .run = in_bf16,
           .smallest = 1,
           .tolerance = 0.03,
           .grad_tolerance = 0.06}};
}

const Op<HeadProducts> kHeadProducts{{.name = "head_products",
                                      .operands = {&HeadProducts::x, &HeadProducts::table},
                                      .results = {&HeadProducts::y},
                                      .reads = has_dense_heads,
                                      .define = define,
                                      .forward = {{"gemm", forward, why_not}},
                                      .backward = {{"gemm", backward, why_not}},
                                      .cases = cases}};

}  // namespace

Tensor head_products(Ctx& c, const Tensor& x, const Tensor& table) {
  check(x.rank() == 3 && table.rank() == 3 && x.extent(1) == table.extent(1) &&
            x.extent(2) == table.extent(2) && x.dtype() == table.dtype(),
        "[head_products] x ", x.shape().to_string(), " and table ", table.shape().to_string(),
        "; they must be [T,H,D] and [N,H,D]");
  return kHeadProducts(c, {.x = x, .table = table, .dtype = c.num.dtype}).y;
}

}  // namespace stemma
