// Rows: how ops that work row by row see a tensor, [rows, n] with n its last extent, and how they
// cut the rows. Cuts depend on the size of the problem alone, so that sums over rows (gradients of
// weights and biases) are the same for every number of threads.
#pragma once

#include <algorithm>

#include "tensor/tensor.h"

namespace stemma::rows {

// True where the elements of each row are neighbours, wherever the rows lie.
inline bool dense(const Tensor& x) {
  return x.rank() > 0 && (x.extent(-1) == 1 || x.strides()[-1] == 1);
}
// True where, besides, all rows lie at one distance, as columns of a wider matrix do.
inline bool apart(const Tensor& x) {
  if (!dense(x)) return false;
  for (int d = 0; d + 2 < x.rank(); ++d)
    if (x.extent(d) != 1 && x.strides()[d] != x.strides()[d + 1] * x.extent(d + 1)) return false;
  return true;
}
// Row number `row` of such a tensor.
inline float* at(const Tensor& x, int64_t row) {
  return x.data<float>() + row * (x.rank() > 1 ? x.strides()[-2] : 0);
}

// Product of all extents but the last.
inline int64_t count(const Tensor& x) {
  int64_t n = 1;
  for (int d = 0; d + 1 < x.rank(); ++d) n *= x.shape()[d];
  return n;
}

// A weight or bias of the last dimension; undefined stands for none.
inline void check_width(const char* op, const char* name, const Tensor& x, const Tensor& w) {
  check(!w || (w.rank() == 1 && w.extent(0) == x.extent(-1)), "[", op, "] ", name, " has shape ",
        w.shape().to_string(), " where x has ", x.shape().to_string(), "; it must be [",
        x.extent(-1), "]");
}
inline void check_same_shape(const char* op, const char* name, const Tensor& x, const Tensor& t) {
  check(!t || t.shape() == x.shape(), "[", op, "] ", name, " has shape ", t.shape().to_string(),
        "; it must be that of x, ", x.shape().to_string());
}

// Elements that make a piece of work worth handing to a thread, and so many rows of `n` elements.
constexpr int64_t kGrain = 1 << 14;
inline int64_t grain(int64_t n) { return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, n)); }

// fn(row, its length) for every row of x.
template <class F>
void each(Ctx& c, const Tensor& x, F fn) {
  const int64_t n = x.extent(-1);
  c.team->run_range(count(x), grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) fn(row, n);
  });
}

inline const float* data_or_null(const Tensor& t) { return t ? t.data<float>() : nullptr; }

// out[j] += the sum over rows of x[row * stride + j], j < n; the sum is taken first, in ascending
// rows.
void add_sum(Ctx& c, const float* x, int64_t rows, int64_t stride, int64_t n, float* out);

// Partial sums of rows of `width` elements: at most 64 pieces, each summed on its own in ascending
// rows; add_to() adds the pieces in ascending order.
class Partials {
 public:
  Partials(Ctx& c, int64_t rows, int64_t width)
      : grain_(std::max<int64_t>(32, (rows + 63) / 64)),
        pieces_((rows + grain_ - 1) / grain_),
        sums_(Tensor::zeros(c, {pieces_, width})) {}
  int64_t grain() const { return grain_; }
  // The sums of the piece that begins at row `begin`; zero at first.
  float* piece(int64_t begin) const {
    return sums_.data<float>() + begin / grain_ * sums_.extent(1);
  }
  // out[j] += the sum over all pieces of column offset + j, for j < n.
  void add_to(Ctx& c, int64_t offset, int64_t n, float* out) const;

 private:
  int64_t grain_, pieces_;
  Tensor sums_;
};

}  // namespace stemma::rows
