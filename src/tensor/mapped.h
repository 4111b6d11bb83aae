// Tensors that lie in a mapped file: read-only, in the file's own dtype, without a copy. Their
// pages come from the file when they are read, and can be given back at any time.
#pragma once

#include <memory>
#include <span>

#include "tensor/tensor.h"

namespace stemma {

// `bytes` are a piece of a mapping that `owner` keeps alive, aligned to the dtype.
Tensor mapped_tensor(std::shared_ptr<const void> owner, std::span<const uint8_t> bytes, Shape shape,
                     DType dtype);
bool is_mapped(const Tensor& t);
// Gives the memory of a mapped tensor's pages back to the system, to be read from the file again if
// somebody asks; nothing happens to any other tensor.
void release_pages(const Tensor& t);

// As f32: itself where it is, else a copy; bf16, f16 and f64 are converted.
Tensor to_f32(Ctx& c, const Tensor& t);
// The same of n stored numbers at any address. Errors: Code::kUnsupported for other dtypes.
void to_f32(const std::byte* from, DType dtype, int64_t n, float* to);

}  // namespace stemma
