// y = x m, m = 0 or 1 / (1 - rate). Gradient: dx = dy m, the mask being drawn again, not kept.
#include "ops/dropout.h"

#include "ops/op.h"
#include "ops/rows.h"

namespace stemma {
namespace {

struct Dropout {
  Tensor x, rows;
  double rate;
  RngKey key;
  Tensor y = {};
};

RngKey row_key(const Dropout& p, int64_t row) {
  return p.key.at(static_cast<uint64_t>(p.rows ? p.rows.data<int32_t>()[row] : row));
}

bool falls_out(const RngKey& row, double rate, int64_t column) {
  return row.uniform(static_cast<uint64_t>(column)) < rate;
}

void define(Ctx& c, Dropout& p) {
  const int64_t rows = rows::count(p.x), n = p.x.extent(-1);
  std::vector<double> mask;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < n; ++j)
      mask.push_back(falls_out(row_key(p, r), p.rate, j) ? 0 : 1 / (1 - p.rate));
  p.y = mul(c, p.x, cast(c, Tensor::from<double>(c, mask, p.x.shape()), p.x.dtype()));
}

Tensor masked(Ctx& c, const Dropout& p, const Tensor& from) {
  const Tensor to = Tensor::empty(c, from.shape());
  const int64_t n = from.extent(-1);
  const float* x = from.data<float>();
  float* y = to.data<float>();
  const auto scale = static_cast<float>(1 / (1 - p.rate));
  c.team->run_range(rows::count(from), rows::grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const RngKey key = row_key(p, r);
      for (int64_t j = 0; j < n; ++j)
        y[r * n + j] = x[r * n + j] * (falls_out(key, p.rate, j) ? 0 : scale);
    }
  });
  return to;
}

void forward(Ctx& c, Dropout& p, bool) { p.y = masked(c, p, p.x); }

void backward(Ctx& c, const Dropout& p, std::span<const Tensor> d, Grads& g) {
  g.add(c, p.x, masked(c, p, d[0]));
}

std::vector<OpCase> cases() {
  return {{.name = "named_rows",
           .inputs =
               [](int64_t rows, int64_t n) {
                 return std::vector{OpInput::batch({rows, n}), OpInput::indices({rows}, 0, 99)};
               },
           .run = [](Ctx& c, const Tensors& in) -> Tensors {
             return {dropout(c, in[0], 0.3, RngKey(5), in[1])};
           },
           .timed = true},
          {.name = "numbered_rows",
           .inputs =
               [](int64_t rows, int64_t n) {
                 return std::vector{OpInput::real({rows, n})};
               },
           .run = [](Ctx& c, const Tensors& in) -> Tensors {
             return {dropout(c, in[0], 0.5, RngKey(6))};
           }}};
}

const Op<Dropout> kDropout{{.name = "dropout",
                            .operands = {&Dropout::x},
                            .constants = {&Dropout::rows},
                            .results = {&Dropout::y},
                            .define = define,
                            .forward = {{"rows", forward}},
                            .backward = {{"rows", backward}},
                            .cases = cases}};

}  // namespace

Tensor dropout(Ctx& c, const Tensor& x, double rate, RngKey key, const Tensor& rows) {
  check(rate >= 0 && rate < 1, "[dropout] rate ", rate, "; it must be at least 0 and below 1");
  check(!rows || (rows.rank() == 1 && rows.extent(0) == rows::count(x)), "[dropout] ",
        rows.shape().to_string(), " names for the rows of ", x.shape().to_string());
  if (rate == 0) return x;
  return kDropout(c, {.x = x, .rows = contiguous(c, rows), .rate = rate, .key = key}).y;
}

}  // namespace stemma
