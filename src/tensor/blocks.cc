#include "tensor/blocks.h"

#include <array>
#include <bit>
#include <cmath>

namespace stemma {
namespace {

int64_t blocks_of(int64_t n, int64_t size) { return (n + size - 1) / size; }

std::array<float, 256> all_codes() {
  std::array<float, 256> table{};
  for (int code = 0; code < 256; ++code)
    table[static_cast<size_t>(code)] = widen_f8_e4m3(static_cast<uint8_t>(code));
  return table;
}

}  // namespace

float widen_f8_e4m3(uint8_t code) {
  const uint32_t sign = uint32_t{code & 0x80u} << 24, mantissa = code & 7u;
  const uint32_t exponent = (code >> 3) & 15u;
  if (exponent == 15 && mantissa == 7) return std::bit_cast<float>(sign | 0x7fc00000u);
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-9
    const float value = static_cast<float>(mantissa) * 0x1p-9f;
    return sign ? -value : value;
  }
  return std::bit_cast<float>(sign | ((exponent + 120) << 23) | (mantissa << 20));
}

void check_scales(const BlockScales& scales, int64_t rows, int64_t columns, std::string_view name) {
  check(scales.rows > 0 && scales.columns > 0, "[scales] blocks of [", scales.rows, ", ",
        scales.columns, "]; both must be positive");
  const Shape fits{blocks_of(rows, scales.rows), blocks_of(columns, scales.columns)};
  check(scales.values && scales.values.dtype() == DType::f32 && scales.values.shape() == fits,
        "[scales] ", name, " [", rows, ", ", columns, "] has scales ",
        scales.values ? scales.values.shape().to_string() : "nowhere", "; blocks of [", scales.rows,
        ", ", scales.columns, "] ask for F32 ", fits.to_string());
}

Tensor widen_blocks(Ctx& c, const Tensor& codes, const BlockScales& scales, int64_t first,
                    int64_t rows) {
  static const std::array<float, 256> table = all_codes();
  const int64_t width = codes.extent(1);
  check_scales(scales, codes.extent(0), width, "a matrix");
  const Tensor out = Tensor::empty(c, {rows, width});
  const int64_t grain = std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, width));
  c.team->run_range(rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto* from =
          reinterpret_cast<const uint8_t*>(codes.bytes()) + (first + i) * codes.strides()[0];
      const float* scale =
          scales.values.data<float>() + (first + i) / scales.rows * scales.values.extent(1);
      float* to = out.data<float>() + i * width;
      for (int64_t block = 0; block * scales.columns < width; ++block) {
        const int64_t last = std::min(width, (block + 1) * scales.columns);
        for (int64_t j = block * scales.columns; j < last; ++j)
          to[j] = table[from[j]] * scale[block];
      }
    }
  });
  return out;
}

}  // namespace stemma
