// Matrices stored as F8 (e4m3fn: four bits of exponent with bias 7, three of mantissa, no
// infinities, 0x7F and 0xFF are NaN) with an f32 scale for each block of rows and columns:
//   value[i, j] = code[i, j] * scale[i / rows, j / columns]
// Blocks at the edges are cut off. Errors: scales whose shape does not fit.
// Source: DeepSeek-AI 2024 (DeepSeek-V3), inference/fp8_cast_bf16.py.
#pragma once

#include "tensor/tensor.h"

namespace stemma {

struct BlockScales {
  Tensor values;  // f32 [ceil(N / rows), ceil(K / columns)]; undefined: the matrix has none
  int64_t rows = 128, columns = 128;
  explicit operator bool() const { return static_cast<bool>(values); }
};

float widen_f8_e4m3(uint8_t code);

// Throws where `scales` are not those of a matrix [rows, columns]; `name` says whose they are.
void check_scales(const BlockScales& scales, int64_t rows, int64_t columns, std::string_view name);

// Rows [first, first + rows) of the codes [N,K] with their scales, f32 [rows,K].
Tensor widen_blocks(Ctx& c, const Tensor& codes, const BlockScales& scales, int64_t first,
                    int64_t rows);

}  // namespace stemma
