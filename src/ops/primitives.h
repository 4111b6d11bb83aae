// The primitives: what every other op is defined by. Each has an f32 and an f64 forward and a
// gradient; operands of one call share a dtype. Shapes broadcast as in NumPy (aligned at the end).
// Views (reshape of a contiguous tensor, permute, slice, broadcast_to) share memory.
// Sources: the usual calculus; each gradient stands next to its forward.
#pragma once

#include <array>
#include <vector>

#include "autograd/tape.h"

namespace stemma {

// Elementwise, broadcasting.
Tensor add(Ctx& c, const Tensor& a, const Tensor& b);
Tensor sub(Ctx& c, const Tensor& a, const Tensor& b);
Tensor mul(Ctx& c, const Tensor& a, const Tensor& b);
Tensor div(Ctx& c, const Tensor& a, const Tensor& b);
Tensor maximum(Ctx& c, const Tensor& a, const Tensor& b);  // the gradient of a tie goes to a
// 1 where a <= b, else 0; no gradient.
Tensor less_equal(Ctx& c, const Tensor& a, const Tensor& b);
// mask != 0 ? a : b; no gradient to mask.
Tensor where(Ctx& c, const Tensor& mask, const Tensor& a, const Tensor& b);

// With a constant.
Tensor add(Ctx& c, const Tensor& a, double b);
Tensor mul(Ctx& c, const Tensor& a, double b);

// Elementwise.
Tensor neg(Ctx& c, const Tensor& a);
Tensor square(Ctx& c, const Tensor& a);
Tensor exp(Ctx& c, const Tensor& a);
Tensor log(Ctx& c, const Tensor& a);
Tensor sqrt(Ctx& c, const Tensor& a);
Tensor rsqrt(Ctx& c, const Tensor& a);
Tensor tanh(Ctx& c, const Tensor& a);
Tensor erf(Ctx& c, const Tensor& a);
Tensor sin(Ctx& c, const Tensor& a);
Tensor cos(Ctx& c, const Tensor& a);
Tensor abs(Ctx& c, const Tensor& a);
Tensor cast(Ctx& c, const Tensor& a, DType dtype);

// Reductions over one dimension, which stays with extent 1. max's gradient goes to the first
// maximum.
Tensor sum(Ctx& c, const Tensor& a, int dim);
Tensor max(Ctx& c, const Tensor& a, int dim);
Tensor sum_all(Ctx& c, const Tensor& a);  // to a scalar
// Of sum, and division by the extent: a composition.
Tensor mean(Ctx& c, const Tensor& a, int dim);

// [..., M, K] x [..., K, N] -> [..., M, N]; leading dimensions broadcast. Sums in ascending k.
Tensor matmul(Ctx& c, const Tensor& a, const Tensor& b);

// Rows of a (dimension 0) by an i32 index of any shape: index.shape + a.shape[1:].
Tensor gather(Ctx& c, const Tensor& a, const Tensor& index);
// For each row: a[i, index[i]] of a [T, V] and an index [T]: [T]. A negative index gives 0.
Tensor pick(Ctx& c, const Tensor& a, const Tensor& index);
// out[index[i]] += a[i], out having `rows` rows; in ascending i.
Tensor scatter_add(Ctx& c, const Tensor& a, const Tensor& index, int64_t rows);

// Shape.
Tensor reshape(Ctx& c, const Tensor& a,
               Shape shape);  // copies where the strides do not allow a view
Tensor permute(Ctx& c, const Tensor& a, std::initializer_list<int> order);
Tensor transpose(Ctx& c, const Tensor& a, int dim0, int dim1);
Tensor broadcast_to(Ctx& c, const Tensor& a, Shape shape);
Tensor slice(Ctx& c, const Tensor& a, int dim, int64_t begin, int64_t end);
// Consecutive pieces of these extents, all of them views; the rest of the array is undefined.
using Pieces = std::array<Tensor, Shape::kMaxRank>;
Pieces split(Ctx& c, const Tensor& a, int dim, const Shape& extents);
Tensor concat(Ctx& c, const std::vector<Tensor>& parts, int dim);
Tensor contiguous(Ctx& c, const Tensor& a);  // itself where it is

}  // namespace stemma
