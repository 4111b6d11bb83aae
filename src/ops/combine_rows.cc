// With r = at[t, j]:  dx[r] += weights[t, j] dy[t];  dweights[t, j] = dy[t] . x[r].
#include "ops/combine_rows.h"

#include "ops/op.h"

namespace stemma {
namespace {

struct CombineRows {
  Tensor x, at, weights;
  Tensor y = {};
};

void define(Ctx& c, CombineRows& p) {
  const int64_t tokens = p.at.extent(0), chosen = p.at.extent(1), width = p.x.extent(1);
  const Tensor weighted =
      mul(c, gather(c, p.x, p.at), reshape(c, p.weights, {tokens, chosen, 1}));  // [T,k,C]
  p.y = reshape(c, sum(c, weighted, 1), {tokens, width});
}

int64_t grain(const CombineRows& p) {
  return std::max<int64_t>(1, rows::kGrain / std::max<int64_t>(1, p.at.extent(1) * p.x.extent(1)));
}

void forward(Ctx& c, CombineRows& p, bool) {
  const int64_t tokens = p.at.extent(0), chosen = p.at.extent(1), width = p.x.extent(1);
  p.y = Tensor::zeros(c, {tokens, width});
  const int32_t* at = p.at.data<int32_t>();
  const float* weights = p.weights.data<float>();
  c.team->run_range(tokens, grain(p), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * chosen; i < end * chosen; ++i) {
      const float *from = p.x.data<float>() + at[i] * width, weight = weights[i];
      float* to = p.y.data<float>() + i / chosen * width;
      for (int64_t j = 0; j < width; ++j) to[j] += weight * from[j];
    }
  });
}

std::vector<OpCase> cases() {
  return {{.name = "rows",
           .inputs =
               [](int64_t rows, int64_t n) {
                 return std::vector{OpInput::real({7, n}), OpInput::indices({rows, 3}, 0, 7),
                                    OpInput::batch({rows, 3})};
               },
           .run = [](Ctx& c, const Tensors& in) -> Tensors {
             return {combine_rows(c, in[0], in[1], in[2])};
           },
           .timed = true}};
}

const Op<CombineRows> kCombineRows{{.name = "combine_rows",
                                    .operands = {&CombineRows::x, &CombineRows::weights},
                                    .constants = {&CombineRows::at},
                                    .results = {&CombineRows::y},
                                    .define = define,
                                    .forward = {{"rows", forward}},
                                    .cases = cases}};

}  // namespace

Tensor combine_rows(Ctx& c, const Tensor& x, const Tensor& at, const Tensor& weights) {
  check(
      x.rank() == 2 && at.rank() == 2 && at.dtype() == DType::i32 && weights.shape() == at.shape(),
      "[combine_rows] x ", x.shape().to_string(), ", indices ", at.shape().to_string(),
      " and weights ", weights.shape().to_string(), "; they must be [R,C], [T,k] and [T,k]");
  for (int32_t row : at.to_vector<int32_t>())
    check(row >= 0 && row < x.extent(0), "[combine_rows] index ", row, " into ", x.extent(0),
          " rows");
  return kCombineRows(c, {.x = x, .at = at, .weights = weights}).y;
}

}  // namespace stemma
