#include "tensor/mapped.h"

#include <cstring>

#include "base/file.h"

namespace stemma {
namespace {

// The deleter of a buffer that is a piece of a mapping; by it such buffers are known.
struct MappedPiece {
  std::shared_ptr<const void> owner;
  std::span<const uint8_t> bytes;
  void operator()(std::byte*) const {}
};

const MappedPiece* piece_of(const Tensor& t) { return std::get_deleter<MappedPiece>(t.buffer()); }

template <class Stored, class Convert>
void convert(const std::byte* from, int64_t n, float* to, Convert convert) {
  for (int64_t i = 0; i < n; ++i) {
    Stored stored;
    std::memcpy(&stored, from + i * static_cast<int64_t>(sizeof stored), sizeof stored);
    to[i] = convert(stored);
  }
}

}  // namespace

Tensor mapped_tensor(std::shared_ptr<const void> owner, std::span<const uint8_t> bytes, Shape shape,
                     DType dtype) {
  auto* at = reinterpret_cast<std::byte*>(const_cast<uint8_t*>(bytes.data()));
  return Tensor(Buffer(at, MappedPiece{std::move(owner), bytes}), 0, shape, dtype);
}

bool is_mapped(const Tensor& t) { return piece_of(t) != nullptr; }

void release_pages(const Tensor& t) {
  if (const MappedPiece* piece = piece_of(t)) release_pages(piece->bytes);
}

Tensor to_f32(Ctx& c, const Tensor& t) {
  if (t.dtype() == DType::f32) return t;
  check(t.contiguous(), "[tensor] a stored tensor is converted whole");
  const Tensor y = Tensor::empty(c, t.shape());
  const int64_t width = dtype_bits(t.dtype()) / 8;
  c.team->run_range(t.elements(), 1 << 16, [&](int64_t begin, int64_t end) {
    to_f32(t.bytes() + begin * width, t.dtype(), end - begin, y.data<float>() + begin);
  });
  return y;
}

void to_f32(const std::byte* from, DType dtype, int64_t n, float* to) {
  switch (dtype) {
    case DType::f32:
      std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
      return;
    case DType::f64:
      return convert<double>(from, n, to, [](double v) { return static_cast<float>(v); });
    case DType::bf16:
      return convert<uint16_t>(from, n, to, widen_bf16);
    case DType::f16:
      return convert<uint16_t>(from, n, to, widen_f16);
    default:
      fail(Code::kUnsupported, "[tensor] ", dtype_name(dtype),
           " is not read as numbers; F32, BF16, F16 and F64 are");
  }
}

}  // namespace stemma
