// As a product: with unfolded rows u[t, (i,k)] = x[t + k - taps / 2, i], y = u W^T + b for each
// group. Gradients: dW += dy^T u; du = dy W, and dx gathers du where u came from; db = sum of dy.
#include "ops/conv1d.h"

#include <algorithm>

#include "gemm/gemm.h"
#include "ops/op.h"

namespace stemma {
namespace {

struct Conv1d {
  Tensor x, weight, bias;
  PoolVector<int32_t> start;
  int groups = 1;
  DType dtype = DType::f32;  // that operands are multiplied in
  Tensor y = {};

  int64_t tokens() const { return x.extent(0); }
  int64_t width() const { return weight.extent(1); }  // of a group's columns
  int64_t rows() const { return weight.extent(0) / groups; }
  int64_t taps() const { return weight.extent(2); }
  Format format() const { return dtype == DType::bf16 ? Format::bf16 : Format::f32; }
};

// The row that tap k reads for each token, -1 where there is none.
Ints rows_read(const Conv1d& p, int64_t k) {
  Ints rows;
  for (size_t s = 0; s + 1 < p.start.size(); ++s)
    for (int64_t t = p.start[s]; t < p.start[s + 1]; ++t) {
      const int64_t row = t + k - p.taps() / 2;
      rows.push_back(row >= p.start[s] && row < p.start[s + 1] ? static_cast<int32_t>(row) : -1);
    }
  return rows;
}

void define(Ctx& c, Conv1d& p) {
  const Tensor padded = concat(c, {p.x, Tensor::zeros(c, {1, p.x.extent(1)}, p.x.dtype())}, 0);
  std::vector<Tensor> groups;
  for (int g = 0; g < p.groups; ++g) {
    const Tensor columns = slice(c, padded, 1, g * p.width(), (g + 1) * p.width());
    const Tensor weight = slice(c, p.weight, 0, g * p.rows(), (g + 1) * p.rows());
    Tensor sum;
    for (int64_t k = 0; k < p.taps(); ++k) {
      Ints index = rows_read(p, k);
      std::replace(index.begin(), index.end(), -1, static_cast<int32_t>(p.tokens()));
      const Tensor tap = reshape(c, slice(c, weight, 2, k, k + 1), {p.rows(), p.width()});
      const Tensor part =
          matmul(c, gather(c, columns, Tensor::from(c, index)), transpose(c, tap, 0, 1));
      sum = sum ? add(c, sum, part) : part;
    }
    groups.push_back(sum);
  }
  p.y = concat(c, groups, 1);
  if (p.bias) p.y = add(c, p.y, p.bias);
}

// fn(t, row) for each token and the row that tap k reads for it, where there is one.
template <class F>
void each_read(const Conv1d& p, int64_t k, F&& fn) {
  for (size_t s = 0; s + 1 < p.start.size(); ++s) {
    const int64_t shift = k - p.taps() / 2, begin = p.start[s], end = p.start[s + 1];
    for (int64_t t = std::max(begin, begin - shift); t < std::min(end, end - shift); ++t)
      fn(t, t + shift);
  }
}

// u of one group: [T, width * taps].
Tensor unfolded(Ctx& c, const Conv1d& p, int g) {
  const Tensor u = Tensor::zeros(c, {p.tokens(), p.width() * p.taps()});
  const int64_t x_row = p.x.extent(1), u_row = u.extent(1);
  const float* from = p.x.data<float>() + g * p.width();
  for (int64_t k = 0; k < p.taps(); ++k)
    each_read(p, k, [&](int64_t t, int64_t row) {
      float* to = u.data<float>() + t * u_row + k;
      for (int64_t i = 0; i < p.width(); ++i) to[i * p.taps()] = from[row * x_row + i];
    });
  return u;
}

MatrixRef weight_of(const Conv1d& p, int g, bool transposed) {
  const int64_t row = p.width() * p.taps();
  return {p.weight.data<float>() + g * p.rows() * row, row, transposed};
}

void forward(Ctx& c, Conv1d& p, bool) {
  const int64_t n = p.weight.extent(0), depth = p.width() * p.taps();
  p.y = Tensor::empty(c, {p.tokens(), n});
  for (int g = 0; g < p.groups; ++g) {
    const Tensor u = unfolded(c, p, g);
    Epilogue then;
    if (p.bias) then.bias = p.bias.data<float>() + g * p.rows();
    gemm(c, p.tokens(), p.rows(), depth, {u.data<float>(), depth}, weight_of(p, g, true), then,
         p.y.data<float>() + g * p.rows(), n, p.format());
  }
}

void backward(Ctx& c, const Conv1d& p, std::span<const Tensor> dy, Grads& g) {
  const int64_t n = p.weight.extent(0), depth = p.width() * p.taps();
  for (int group = 0; group < p.groups; ++group) {
    const float* rows = dy[0].data<float>() + group * p.rows();
    if (g.wants(p.weight)) {
      const Tensor u = unfolded(c, p, group);
      gemm(c, p.rows(), depth, p.tokens(), {rows, n, true}, {u.data<float>(), depth},
           {.accumulate = true}, g.into(c, p.weight).data<float>() + group * p.rows() * depth,
           depth, p.format());
    }
    if (g.wants(p.x)) {
      const Tensor du = Tensor::empty(c, {p.tokens(), depth});
      gemm(c, p.tokens(), depth, p.rows(), {rows, n}, weight_of(p, group, false), {},
           du.data<float>(), depth, p.format());
      float* to = g.into(c, p.x).data<float>() + group * p.width();
      for (int64_t k = 0; k < p.taps(); ++k)
        each_read(p, k, [&](int64_t t, int64_t row) {
          const float* from = du.data<float>() + t * depth + k;
          for (int64_t i = 0; i < p.width(); ++i) to[row * p.x.extent(1) + i] += from[i * p.taps()];
        });
    }
  }
  if (p.bias && g.wants(p.bias)) g.add(c, p.bias, reshape(c, sum(c, dy[0], 0), p.bias.shape()));
}

const char* why_not(const Conv1d& p) {
  return p.x.dtype() == DType::f32 ? nullptr : "it computes in F32";
}

std::vector<OpCase> cases() {
  const auto example = [](const char* name, int64_t taps, int groups, bool bias, DType products) {
    OpCase made{.name = name,
                .inputs =
                    [=](int64_t rows, int64_t n) {
                      std::vector<OpInput> in{
                          OpInput::real({rows, groups * n}).between(-0.4, 0.4),
                          OpInput::real({groups * 2, n, taps}).between(-0.4, 0.4)};
                      if (bias) in.push_back(OpInput::real({groups * 2}));
                      return in;
                    },
                .run = [=](Ctx& c, const Tensors& in) -> Tensors {
                  const auto rows = static_cast<int32_t>(in[0].extent(0));
                  const Ints start{0, rows / 3, rows / 3, rows};
                  Ctx inside = c;
                  inside.num.dtype = products;
                  return {conv1d(inside, in[0], in[1], bias ? in[2] : Tensor(), start, groups)};
                },
                .smallest = 1};
    if (products == DType::bf16) made.tolerance = 0.03, made.grad_tolerance = 0.1;
    return made;
  };
  return {example("three_taps", 3, 1, true, DType::f32),
          example("grouped", 5, 2, false, DType::f32), example("bf16", 3, 1, true, DType::bf16)};
}

const Op<Conv1d> kConv1d{{.name = "conv1d",
                          .operands = {&Conv1d::x, &Conv1d::weight, &Conv1d::bias},
                          .results = {&Conv1d::y},
                          .define = define,
                          .forward = {{"gemm", forward, why_not}},
                          .backward = {{"gemm", backward, why_not}},
                          .cases = cases}};

}  // namespace

Tensor conv1d(Ctx& c, const Tensor& x, const Tensor& weight, const Tensor& bias,
              std::span<const int32_t> start, int groups) {
  check(x.rank() == 2 && weight.rank() == 3 && groups > 0 && weight.extent(0) % groups == 0 &&
            weight.extent(1) * groups == x.extent(1) && weight.extent(2) % 2 == 1 &&
            (!bias || bias.shape() == Shape{weight.extent(0)}),
        "[conv1d] x ", x.shape().to_string(), " and weight ", weight.shape().to_string(), " in ",
        groups, " groups; they must be [T,C] and [N, C / groups, an odd number of taps]");
  check(!start.empty() && start.front() == 0 && std::ranges::is_sorted(start) &&
            start.back() == x.extent(0),
        "[conv1d] offsets must ascend from 0 to the number of rows, ", x.extent(0));
  return kConv1d(c, {.x = x,
                     .weight = weight,
                     .bias = bias,
                     .start = {start.begin(), start.end(), c.pool},
                     .groups = groups,
                     .dtype = c.num.dtype})
      .y;
}

}  // namespace stemma
