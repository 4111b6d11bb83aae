// DType: how one element is stored. The full list of the safetensors format, so that any file can
// be described; Stemma computes in f32 and f64, indexes with i32, and reads weights stored in bf16
// and f16.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace stemma {

enum class DType : uint8_t {
  f32,
  f64,
  bf16,
  f16,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean,
  f8_e4m3,
  f8_e5m2,
  f8_e8m0,
  c64,
  f4,       // half a byte
  f6_e2m3,  // six bits
  f6_e3m2,
};

int dtype_bits(DType dtype);
// The safetensors name ("F32", "BF16", ...), and back.
std::string_view dtype_name(DType dtype);
std::optional<DType> parse_dtype(std::string_view name);

// Widening is exact; narrowing rounds to nearest, ties to even (NaN stays NaN).
inline float widen_bf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }
float widen_f16(uint16_t bits);
uint16_t narrow_bf16(float value);
uint16_t narrow_f16(float value);

}  // namespace stemma
