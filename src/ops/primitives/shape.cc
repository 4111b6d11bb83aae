// Shape primitives: views where the strides allow one, copies elsewhere. Each gradient is the
// inverse rearrangement.
#include "ops/primitives.h"
#include "ops/primitives/map.h"

namespace stemma {
namespace {

int dimension(const Tensor& a, int dim) {
  const int d = dim < 0 ? dim + a.rank() : dim;
  check(d >= 0 && d < a.rank(), "[shape] dimension ", dim, " of a tensor of rank ", a.rank());
  return d;
}

// A dense copy, of any dtype Stemma computes or indexes with.
Tensor copy(Ctx& c, const Tensor& a) {
  if (a.dtype() == DType::i32) return Tensor::from<int32_t>(c, a.to_vector<int32_t>(), a.shape());
  return primitives::map(
      c, [](auto x) { return x; }, a);
}

// Adds `d` into the region of `into` that a slice covers.
void add_region(const Tensor& into, const Tensor& d) {
  primitives::by_dtype(d, [&](auto type) {
    using T = decltype(type);
    T* out = into.data<T>();
    const std::vector<T> values = d.to_vector<T>();
    const Shape& shape = into.shape();
    for (int64_t i = 0; i < d.elements(); ++i) {
      int64_t rest = i, at = 0;
      for (int k = shape.rank() - 1; k >= 0; --k) {
        at += rest % shape[k] * into.strides()[k];
        rest /= shape[k];
      }
      out[at] += values[static_cast<size_t>(i)];
    }
  });
}

}  // namespace

Tensor contiguous(Ctx& c, const Tensor& a) {
  if (a.contiguous()) return a;
  Tensor y = copy(c, a);
  if (recording(c, {a}))
    c.tape->record("contiguous", {y},
                   [a](Ctx& c, std::span<const Tensor> d, Grads& g) { g.add(c, a, d[0]); });
  return y;
}

Tensor reshape(Ctx& c, const Tensor& a, Shape shape) {
  check(shape.elements() == a.elements(), "[reshape] ", a.shape().to_string(), " to ",
        shape.to_string());
  Tensor dense = contiguous(c, a);
  Tensor y = dense.view(shape, shape.strides());
  if (recording(c, {dense}))
    c.tape->record("reshape", {y}, [dense](Ctx& c, std::span<const Tensor> d, Grads& g) {
      g.add(c, dense, reshape(c, d[0], dense.shape()));
    });
  return y;
}

Tensor permute(Ctx& c, const Tensor& a, std::initializer_list<int> order) {
  check(static_cast<int>(order.size()) == a.rank(), "[permute] ", order.size(),
        " dimensions for a tensor of rank ", a.rank());
  Shape shape, strides, back = a.shape();
  int to = 0;
  for (int d : order) {
    shape.push_back(a.shape()[d]);
    strides.push_back(a.strides()[d]);
    back[d] = to++;
  }
  Tensor y = a.view(shape, strides);
  if (recording(c, {a}))
    c.tape->record("permute", {y}, [a, back](Ctx& c, std::span<const Tensor> d, Grads& g) {
      Shape strides;
      for (int k = 0; k < a.rank(); ++k)
        strides.push_back(d[0].strides()[static_cast<int>(back[k])]);
      g.add(c, a, d[0].view(a.shape(), strides));
    });
  return y;
}

Tensor transpose(Ctx& c, const Tensor& a, int dim0, int dim1) {
  const int i = dimension(a, dim0), j = dimension(a, dim1);
  Shape shape = a.shape(), strides = a.strides();
  std::swap(shape[i], shape[j]);
  std::swap(strides[i], strides[j]);
  Tensor y = a.view(shape, strides);
  if (recording(c, {a}))
    c.tape->record("transpose", {y}, [a, i, j](Ctx& c, std::span<const Tensor> d, Grads& g) {
      g.add(c, a, transpose(c, d[0], i, j));
    });
  return y;
}

Tensor broadcast_to(Ctx& c, const Tensor& a, Shape shape) {
  check(primitives::broadcast(a.shape(), shape) == shape, "[broadcast_to] ", a.shape().to_string(),
        " to ", shape.to_string());
  Tensor y = a.view(shape, primitives::broadcast_strides(a, shape));
  if (recording(c, {a}))
    c.tape->record("broadcast_to", {y}, [a](Ctx& c, std::span<const Tensor> d, Grads& g) {
      g.add(c, a, primitives::reduce_to(c, d[0], a.shape()));
    });
  return y;
}

Tensor slice(Ctx& c, const Tensor& a, int dim, int64_t begin, int64_t end) {
  const int k = dimension(a, dim);
  check(0 <= begin && begin <= end && end <= a.shape()[k], "[slice] [", begin, ", ", end,
        ") of extent ", a.shape()[k]);
  Shape shape = a.shape();
  shape[k] = end - begin;
  const int64_t offset = begin * a.strides()[k];
  Tensor y = a.view(shape, a.strides(), offset);
  if (recording(c, {a}))
    c.tape->record("slice", {y}, [a, shape, k, begin](Ctx& c, std::span<const Tensor> d, Grads& g) {
      Tensor whole = g.into(c, a);
      add_region(whole.view(shape, whole.strides(), begin * whole.strides()[k]), d[0]);
    });
  return y;
}

Tensor concat(Ctx& c, const std::vector<Tensor>& parts, int dim) {
  check(!parts.empty(), "[concat] of nothing");
  const int k = dimension(parts[0], dim);
  Shape shape = parts[0].shape();
  shape[k] = 0;
  bool record = false;
  for (const Tensor& part : parts) {
    Shape other = part.shape(), own = shape;
    other[k] = own[k] = 0;
    check(other == own, "[concat] ", part.shape().to_string(), " beside ",
          parts[0].shape().to_string());
    shape[k] += part.shape()[k];
    record = record || recording(c, {part});
  }
  Tensor y = Tensor::zeros(c, shape, parts[0].dtype());
  int64_t at = 0;
  for (const Tensor& part : parts) {
    add_region(y.view(part.shape(), y.strides(), at * y.strides()[k]), part);
    at += part.shape()[k];
  }
  if (record)
    c.tape->record("concat", {y}, [parts, k](Ctx& c, std::span<const Tensor> d, Grads& g) {
      int64_t at = 0;
      for (const Tensor& part : parts) {
        const int64_t end = at + part.shape()[k];
        if (g.wants(part)) g.add(c, part, slice(c, d[0], k, at, end));
        at = end;
      }
    });
  return y;
}

}  // namespace stemma
