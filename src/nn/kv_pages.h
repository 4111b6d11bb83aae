// Pages of keys and values, rows as they come: k [64,Hk,D], then v [64,Hk,Dv], in f32.
#pragma once

#include <cstring>

#include "tensor/tensor.h"

namespace stemma {

struct KvLayout {
  static constexpr int64_t kTokens = 64;
  int64_t kv_heads = 0, d = 0, dv = 0;
  DType dtype = DType::f32;
  bool operator==(const KvLayout&) const = default;
  int64_t bytes() const { return int64_t{kTokens} * kv_heads * (d + dv) * 4; }
};
struct KvRows {
  const float* k = nullptr;
  int64_t k_stride = 0;
  const float* v = nullptr;
  int64_t v_stride = 0;
};
inline void append(const KvLayout& l, std::byte* page, int64_t row, int64_t rows,
                   const KvRows& from) {
  const size_t ks = size_t(l.kv_heads) * l.d, vs = size_t(l.kv_heads) * l.dv;
  float* at = reinterpret_cast<float*>(page);
  std::memcpy(at + row * ks, from.k, rows * ks * 4);
  std::memcpy(at + l.kTokens * ks + row * vs, from.v, rows * vs * 4);
}
inline void read(const KvLayout& l, const std::byte* page, int64_t row, int64_t rows, float* k,
                 float* v) {
  const size_t ks = size_t(l.kv_heads) * l.d, vs = size_t(l.kv_heads) * l.dv;
  const float* at = reinterpret_cast<const float*>(page);
  std::memcpy(k, at + row * ks, rows * ks * 4);
  std::memcpy(v, at + l.kTokens * ks + row * vs, rows * vs * 4);
}
struct KvPages {
  std::vector<const std::byte*> pages;
  int64_t first_page = 0;
};

struct PagedKv {
  KvLayout layout;
  std::vector<KvPages> sequences;
};

}  // namespace stemma
