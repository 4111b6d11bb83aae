// Shape primitives: views where the strides allow one, copies elsewhere. Each gradient is the
// inverse rearrangement.
#include <algorithm>
#include <optional>

#include "ops/primitives.h"
#include "ops/primitives/map.h"

namespace stemma {
namespace {

int dimension(const Tensor& a, int dim) {
  const int d = dim < 0 ? dim + a.rank() : dim;
  check(d >= 0 && d < a.rank(), "[shape] dimension ", dim, " of a tensor of rank ", a.rank());
  return d;
}

// Calls fn(a's offset, b's offset, length) for runs that are dense in two layouts of one shape, cut
// by rows for the team.
template <class F>
void each_run(Ctx& c, const Shape& shape, const Shape& a, const Shape& b, F fn) {
  int outer = shape.rank();
  int64_t run = 1;
  while (outer > 0 && (shape[outer - 1] == 1 || (a[outer - 1] == run && b[outer - 1] == run)))
    run *= shape[--outer];
  if (run == 0 || shape.elements() == 0) return;
  c.team->run_range(shape.elements() / run, std::max<int64_t>(1, (1 << 15) / run),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t i = begin; i < end; ++i) {
                        int64_t rest = i, at = 0, bt = 0;
                        for (int d = outer - 1; d >= 0; --d) {
                          const int64_t index = rest % shape[d];
                          rest /= shape[d];
                          at += index * a[d];
                          bt += index * b[d];
                        }
                        fn(at, bt, run);
                      }
                    });
}

// f(a value of the storage type) for every dtype Stemma computes or indexes with.
template <class F>
void by_stored(const Tensor& t, F&& f) {
  if (t.dtype() == DType::i32) return f(int32_t{});
  primitives::by_dtype(t, std::forward<F>(f));
}

// to = from, whatever their strides.
void copy_to(Ctx& c, const Tensor& to, const Tensor& from) {
  by_stored(from, [&](auto type) {
    using T = decltype(type);
    T* out = to.data<T>();
    const T* in = from.data<T>();
    each_run(c, from.shape(), to.strides(), from.strides(),
             [&](int64_t at, int64_t source, int64_t n) { std::copy_n(in + source, n, out + at); });
  });
}

// to += from, whatever their strides.
void add_to(Ctx& c, const Tensor& to, const Tensor& from) {
  primitives::by_dtype(from, [&](auto type) {
    using T = decltype(type);
    T* out = to.data<T>();
    const T* in = from.data<T>();
    each_run(c, from.shape(), to.strides(), from.strides(),
             [&](int64_t at, int64_t source, int64_t n) {
               for (int64_t i = 0; i < n; ++i) out[at + i] += in[source + i];
             });
  });
}

// Elements [begin, begin + extent) of dimension `dim`.
Tensor piece(const Tensor& a, int dim, int64_t begin, int64_t extent) {
  Shape shape = a.shape();
  shape[dim] = extent;
  return a.view(shape, a.strides(), begin * a.strides()[dim]);
}

// The pieces d of a tensor like `a`; undefined ones are zeros.
Tensor joined(Ctx& c, const Tensor& a, int dim, const Shape& extents, std::span<const Tensor> d) {
  const Tensor whole = Tensor::empty(c, a.shape(), a.dtype());
  int64_t at = 0;
  for (int i = 0; i < extents.rank(); at += extents[i++]) {
    const Tensor part = piece(whole, dim, at, extents[i]), &from = d[static_cast<size_t>(i)];
    copy_to(c, part, from ? from : Tensor::zeros(c, part.shape(), a.dtype()));
  }
  return whole;
}

// The strides that let `a` be seen as `shape`, where no copy is needed: as NumPy finds them, group
// by group of extents with equal products, each group of `a` being dense in itself.
std::optional<Shape> view_strides(const Tensor& a, const Shape& shape) {
  Shape old, old_strides;
  for (int d = 0; d < a.rank(); ++d)
    if (a.shape()[d] != 1) old.push_back(a.shape()[d]), old_strides.push_back(a.strides()[d]);
  Shape strides = shape.strides();
  if (shape.elements() == 0) return strides;
  for (int from = 0, to = 0; from < old.rank();) {
    int from_end = from + 1, to_end = to + 1;
    for (int64_t have = old[from], want = shape[to]; have != want;)
      if (want < have)
        want *= shape[to_end++];
      else
        have *= old[from_end++];
    for (int d = from; d + 1 < from_end; ++d)
      if (old_strides[d] != old[d + 1] * old_strides[d + 1]) return std::nullopt;
    int64_t step = old_strides[from_end - 1];
    for (int d = to_end - 1; d >= to; --d) {
      strides[d] = step;
      step *= shape[d];
    }
    from = from_end, to = to_end;
  }
  return strides;
}

}  // namespace

Tensor contiguous(Ctx& c, const Tensor& a) {
  if (a.contiguous()) return a;
  const Tensor y = Tensor::empty(c, a.shape(), a.dtype());
  copy_to(c, y, a);
  primitives::tell(c, "contiguous", y, a);
  if (recording(c, {a}))
    c.tape->record("contiguous", {y},
                   [a](Ctx& c, std::span<const Tensor> d, Grads& g) { g.add(c, a, d[0]); });
  return y;
}

Tensor reshape(Ctx& c, const Tensor& a, Shape shape) {
  check(shape.elements() == a.elements(), "[reshape] ", a.shape().to_string(), " to ",
        shape.to_string());
  const std::optional<Shape> strides = view_strides(a, shape);
  const Tensor from = strides ? a : contiguous(c, a);
  const Tensor y = from.view(shape, strides ? *strides : shape.strides());
  if (recording(c, {from}))
    c.tape->record("reshape", {y}, [from](Ctx& c, std::span<const Tensor> d, Grads& g) {
      g.add(c, from, reshape(c, d[0], from.shape()));
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
  const Tensor y = piece(a, k, begin, end - begin);
  if (recording(c, {a}))
    c.tape->record("slice", {y}, [a, k, begin, end](Ctx& c, std::span<const Tensor> d, Grads& g) {
      add_to(c, piece(g.into(c, a), k, begin, end - begin), d[0]);
    });
  return y;
}

Pieces split(Ctx& c, const Tensor& a, int dim, const Shape& extents) {
  const int k = dimension(a, dim);
  const auto count = static_cast<size_t>(extents.rank());
  Pieces parts;
  int64_t at = 0;
  for (size_t i = 0; i < count; ++i) {
    const int64_t extent = extents[static_cast<int>(i)];
    parts[i] = piece(a, k, at, extent);
    at += extent;
  }
  check(at == a.shape()[k], "[split] into extents that add up to ", at, " of a dimension of ",
        a.shape()[k]);
  if (recording(c, {a}))
    c.tape->record("split", std::span(parts).first(count),
                   [a, k, extents](Ctx& c, std::span<const Tensor> d, Grads& g) {
                     g.add(c, a, joined(c, a, k, extents, d));
                   });
  return parts;
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
  const Tensor y = Tensor::empty(c, shape, parts[0].dtype());
  int64_t at = 0;
  for (const Tensor& part : parts) {
    copy_to(c, piece(y, k, at, part.shape()[k]), part);
    at += part.shape()[k];
  }
  if (c.rec) c.rec->ran({"concat", "primitive", Phase::forward, parts, {&y, 1}, 0});
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
