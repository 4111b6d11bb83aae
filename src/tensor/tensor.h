// Tensor: a cheap handle on a strided view of a shared buffer. Never lazy. Each handle made by an
// op has an id of its own, by which the tape knows it; copies of a handle share the id. Tensors are
// written once, by the op that makes them; only state, parameters and gradient accumulators are
// written again, by the code that owns them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/ctx.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace stemma {

using Ints = std::vector<int32_t>;

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::i32;
}

class Tensor {
 public:
  Tensor() = default;  // undefined: stands for "no tensor"
  // A view of existing memory.
  Tensor(Buffer buffer, int64_t offset_bytes, Shape shape, DType dtype);

  // Contents indeterminate, zero, or copied from `values` (f32, f64 or i32).
  static Tensor empty(Ctx& c, Shape shape, DType dtype = DType::f32);
  static Tensor zeros(Ctx& c, Shape shape, DType dtype = DType::f32);
  template <class T>
  static Tensor from(Ctx& c, std::span<const T> values, Shape shape);
  static Tensor from(Ctx& c, const Ints& values);
  static Tensor scalar(Ctx& c, double value, DType dtype = DType::f32);

  explicit operator bool() const { return buffer_ != nullptr; }
  uint64_t id() const { return id_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  const Shape& strides() const { return strides_; }
  int rank() const { return shape_.rank(); }
  int64_t extent(int dim) const { return shape_[dim]; }
  int64_t elements() const { return shape_.elements(); }
  bool contiguous() const;
  bool unique() const { return buffer_.use_count() == 1; }

  // Checked on dtype.
  template <class T>
  T* data() const {
    check(dtype_ == dtype_of<T>(), "[tensor] holds ", dtype_name(dtype_), ", read as ",
          dtype_name(dtype_of<T>()));
    return reinterpret_cast<T*>(bytes());
  }
  std::byte* bytes() const { return buffer_.get() + offset_; }
  const Buffer& buffer() const { return buffer_; }
  // One element, as a double, wherever it lies (tests, errors, scalars).
  double item(int64_t index = 0) const;
  template <class T>
  std::vector<T> to_vector() const;

  // The same buffer seen with other extents and strides (in elements), under a new id.
  Tensor view(Shape shape, Shape strides, int64_t offset_elements = 0) const;

 private:
  Buffer buffer_;
  int64_t offset_ = 0;  // bytes
  Shape shape_, strides_;
  DType dtype_ = DType::f32;
  uint64_t id_ = 0;
};

}  // namespace stemma
