// Dot products of 32-bit words, at the level avx512_bf16: two bf16 or four bytes of each operand.
// A region like Highway's: between STEMMA_BEFORE_DOT and STEMMA_AFTER_DOT, in a file that includes
// this header outside any region, functions may use these (and AVX-512); they must stand in an
// anonymous namespace and be called only where isa() >= Isa::kAvx512Bf16.
// They are inline asm, since g++ 12 copies and spills the sums of its own intrinsics.
//   dot_bf16 (VDPBF16PS): acc += the odd product, then the even one, each rounded to nearest;
//     subnormal operands and results count as zero.
//   dot_u8s8 (VPDPBUSD): acc += the four products, exactly, modulo 2^32.
#pragma once

#if defined(__x86_64__) && !defined(STEMMA_MAX_ISA_AVX2) && !defined(STEMMA_MAX_ISA_AVX512)
#define STEMMA_HAS_DOT 1

#include <immintrin.h>

#if defined(__clang__)
#define STEMMA_BEFORE_DOT                                                                \
  _Pragma(                                                                               \
      "clang attribute push(__attribute__((target(\"avx512f,avx512bw,avx512dq,avx512vl," \
      "avx512bf16,avx512vnni\"))), apply_to = function)")
#define STEMMA_AFTER_DOT _Pragma("clang attribute pop")
#else
#define STEMMA_BEFORE_DOT     \
  _Pragma("GCC push_options") \
      _Pragma("GCC target(\"avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni\")")
#define STEMMA_AFTER_DOT _Pragma("GCC pop_options")
#endif

STEMMA_BEFORE_DOT
namespace stemma {
namespace {

[[maybe_unused]] inline __m512 dot_bf16(__m512 acc, __m512i a, __m512i b) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
  return acc;
}
[[maybe_unused]] inline __m512i dot_u8s8(__m512i acc, __m512i a, __m512i b) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
  return acc;
}

}  // namespace
}  // namespace stemma
STEMMA_AFTER_DOT

#endif
