#include "tensor/tensor.h"

#include <atomic>
#include <cstring>

namespace stemma {
namespace {

uint64_t next_id() {
  static std::atomic<uint64_t> counter{1};
  return counter.fetch_add(1, std::memory_order_relaxed);
}

// Offset in elements of the index-th element, counted in row-major order of the shape.
int64_t element_offset(const Shape& shape, const Shape& strides, int64_t index) {
  int64_t offset = 0;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    offset += index % shape[d] * strides[d];
    index /= shape[d];
  }
  return offset;
}

}  // namespace

Tensor::Tensor(Buffer buffer, int64_t offset_bytes, Shape shape, DType dtype)
    : buffer_(std::move(buffer)),
      offset_(offset_bytes),
      shape_(shape),
      strides_(shape.strides()),
      dtype_(dtype),
      id_(next_id()) {}

Tensor Tensor::empty(Ctx& c, Shape shape, DType dtype) {
  const int64_t bytes = shape.elements() * dtype_bits(dtype) / 8;
  return Tensor(c.pool->allocate(static_cast<size_t>(bytes)), 0, shape, dtype);
}

Tensor Tensor::zeros(Ctx& c, Shape shape, DType dtype) {
  Tensor t = empty(c, shape, dtype);
  std::memset(t.bytes(), 0, static_cast<size_t>(t.elements() * dtype_bits(dtype) / 8));
  return t;
}

template <class T>
Tensor Tensor::from(Ctx& c, std::span<const T> values, Shape shape) {
  check(static_cast<int64_t>(values.size()) == shape.elements(), "[tensor] ", values.size(),
        " values for shape ", shape.to_string());
  Tensor t = empty(c, shape, dtype_of<T>());
  if (!values.empty()) std::memcpy(t.bytes(), values.data(), values.size_bytes());
  return t;
}
template Tensor Tensor::from(Ctx&, std::span<const float>, Shape);
template Tensor Tensor::from(Ctx&, std::span<const double>, Shape);
template Tensor Tensor::from(Ctx&, std::span<const int32_t>, Shape);

Tensor Tensor::from(Ctx& c, const Ints& values) {
  return from<int32_t>(c, values, {static_cast<int64_t>(values.size())});
}

Tensor Tensor::scalar(Ctx& c, double value, DType dtype) {
  Tensor t = empty(c, {}, dtype);
  if (dtype == DType::f64)
    *t.data<double>() = value;
  else
    *t.data<float>() = static_cast<float>(value);
  return t;
}

bool Tensor::contiguous() const {
  int64_t step = 1;
  for (int d = rank() - 1; d >= 0; --d) {
    if (shape_[d] != 1 && strides_[d] != step) return false;
    step *= shape_[d];
  }
  return true;
}

double Tensor::item(int64_t index) const {
  check(*this && index >= 0 && index < elements(), "[tensor] item ", index, " of ",
        shape_.to_string());
  const int64_t offset = element_offset(shape_, strides_, index);
  switch (dtype_) {
    case DType::f32:
      return data<float>()[offset];
    case DType::f64:
      return data<double>()[offset];
    case DType::i32:
      return data<int32_t>()[offset];
    default:
      fail(Code::kUnsupported, "[tensor] item() of ", dtype_name(dtype_));
  }
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  const T* p = data<T>();
  const int64_t n = elements();
  std::vector<T> v(static_cast<size_t>(n));
  if (contiguous())
    std::copy(p, p + n, v.begin());
  else
    for (int64_t i = 0; i < n; ++i)
      v[static_cast<size_t>(i)] = p[element_offset(shape_, strides_, i)];
  return v;
}
template std::vector<float> Tensor::to_vector() const;
template std::vector<double> Tensor::to_vector() const;
template std::vector<int32_t> Tensor::to_vector() const;

Tensor Tensor::view(Shape shape, Shape strides, int64_t offset_elements) const {
  Tensor t(buffer_, offset_ + offset_elements * dtype_bits(dtype_) / 8, shape, dtype_);
  t.strides_ = strides;
  return t;
}

}  // namespace stemma
