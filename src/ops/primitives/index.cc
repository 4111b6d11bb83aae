// Gather and scatter by i32 indices. A gather's gradient is a scatter and the other way round; both
// run in ascending order over rows, so that sums of repeated indices are reproducible.
#include <limits>

#include "ops/primitives.h"
#include "ops/primitives/map.h"

namespace stemma {
namespace {

// The index, contiguous.
Tensor checked_index(Ctx& c, const char* op, const Tensor& given, int64_t rows,
                     int64_t lowest = 0) {
  const Tensor index = contiguous(c, given);
  const int32_t* at = index.data<int32_t>();
  for (int64_t i = 0; i < index.elements(); ++i)
    check(at[i] >= lowest && at[i] < rows, "[", op, "] index ", at[i], " at position ", i,
          " is outside the table of ", rows, " rows");
  return index;
}

int64_t row_elements(const Tensor& a) {
  int64_t n = 1;
  for (int d = 1; d < a.rank(); ++d) n *= a.shape()[d];
  return n;
}

}  // namespace

Tensor gather(Ctx& c, const Tensor& a, const Tensor& at_rows) {
  const int64_t rows = a.shape()[0], width = row_elements(a);
  const Tensor index = checked_index(c, "gather", at_rows, rows);
  const Tensor table = contiguous(c, a);
  Shape shape = index.shape();
  for (int d = 1; d < a.rank(); ++d) shape.push_back(a.shape()[d]);
  Tensor y = Tensor::empty(c, shape, a.dtype());
  const int32_t* at = index.data<int32_t>();
  primitives::by_dtype(a, [&](auto type) {
    using T = decltype(type);
    const T* from = table.data<T>();
    T* to = y.data<T>();
    for (int64_t i = 0; i < index.elements(); ++i)
      std::copy_n(from + at[i] * width, width, to + i * width);
  });
  primitives::tell(c, "gather", y, table, index);
  if (recording(c, {table}))
    c.tape->record(
        "gather", {y}, [table, index, rows](Ctx& c, std::span<const Tensor> d, Grads& g) {
          Shape flat = table.shape();
          flat[0] = index.elements();
          const Tensor at = index.view({index.elements()}, Shape{index.elements()}.strides());
          g.add(c, table, scatter_add(c, reshape(c, d[0], flat), at, rows));
        });
  return y;
}

Tensor scatter_add(Ctx& c, const Tensor& a, const Tensor& to_rows, int64_t rows) {
  check(to_rows.rank() == 1 && to_rows.elements() == a.shape()[0], "[scatter_add] ",
        to_rows.elements(), " indices for ", a.shape()[0], " rows");
  const Tensor index = checked_index(c, "scatter_add", to_rows, rows);
  const int64_t width = row_elements(a);
  const Tensor dense = contiguous(c, a);
  Shape shape = a.shape();
  shape[0] = rows;
  Tensor y = Tensor::zeros(c, shape, a.dtype());
  const int32_t* at = index.data<int32_t>();
  primitives::by_dtype(a, [&](auto type) {
    using T = decltype(type);
    const T* from = dense.data<T>();
    T* to = y.data<T>();
    for (int64_t i = 0; i < index.elements(); ++i)
      for (int64_t j = 0; j < width; ++j) to[at[i] * width + j] += from[i * width + j];
  });
  primitives::tell(c, "scatter_add", y, dense, index);
  if (recording(c, {dense}))
    c.tape->record("scatter_add", {y}, [dense, index](Ctx& c, std::span<const Tensor> d, Grads& g) {
      g.add(c, dense, gather(c, d[0], index));
    });
  return y;
}

Tensor pick(Ctx& c, const Tensor& a, const Tensor& columns) {
  check(a.rank() == 2 && columns.elements() == a.shape()[0], "[pick] ", columns.elements(),
        " indices for ", a.shape().to_string());
  const int64_t rows = a.shape()[0], width = a.shape()[1];
  const Tensor index =
      checked_index(c, "pick", columns, width, std::numeric_limits<int32_t>::min());
  const Tensor dense = contiguous(c, a);
  Tensor y = Tensor::zeros(c, {rows}, a.dtype());
  const int32_t* at = index.data<int32_t>();
  primitives::by_dtype(a, [&](auto type) {
    using T = decltype(type);
    for (int64_t i = 0; i < rows; ++i)
      if (at[i] >= 0) y.data<T>()[i] = dense.data<T>()[i * width + at[i]];
  });
  primitives::tell(c, "pick", y, dense, index);
  if (recording(c, {dense}))
    c.tape->record("pick", {y}, [dense, index](Ctx& c, std::span<const Tensor> d, Grads& g) {
      Tensor into = g.into(c, dense);
      const Tensor dy = contiguous(c, d[0]);
      const int32_t* at = index.data<int32_t>();
      const int64_t width = dense.shape()[1];
      primitives::by_dtype(dense, [&](auto type) {
        using T = decltype(type);
        for (int64_t i = 0; i < dy.elements(); ++i)
          if (at[i] >= 0) into.data<T>()[i * width + at[i]] += dy.data<T>()[i];
      });
    });
  return y;
}

}  // namespace stemma
