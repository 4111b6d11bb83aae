// KV pages: the keys and values of 64 consecutive positions of a sequence, for every key head, as
// the right operands of attention's two products, so that a query reads them without repacking.
// Layout: head after head; of each first the keys, in two panels of 32 keys [D][32], then the
// values, in panels of 32 columns [64][32], zeros past the last column. In bf16 two rows of a panel
// that follow each other lie interleaved, [D/2][32][2] and [32][32][2], with D up to a multiple of
// 32 (the depth of one tile operation). A page is plain bytes, aligned to 64, owned by whoever
// keeps the sequence; append() is its only writer. Errors: rows that do not fit a page; a dtype
// other than f32 and bf16. Thread safety: calls on different pages are independent.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/pool.h"

namespace stemma {

struct KvLayout {
  static constexpr int64_t kTokens = 64;

  int64_t kv_heads = 0, d = 0, dv = 0;
  DType dtype = DType::f32;  // or bf16

  int64_t bytes() const { return kv_heads * head_bytes(); }
  int64_t key_bytes() const;    // of one head: where its values begin
  int64_t value_bytes() const;  // of one head
  int64_t head_bytes() const { return key_bytes() + value_bytes(); }
  bool operator==(const KvLayout&) const = default;
};

// Rows [kv_heads, d] of keys and [kv_heads, dv] of values; strides, in floats, from row to row.
struct KvRows {
  const float* k = nullptr;
  int64_t k_stride = 0;
  const float* v = nullptr;
  int64_t v_stride = 0;
};

// Writes the rows [row, row + rows) of a page, rows ascending from call to call; rewriting from an
// earlier row on is allowed (a rollback). A page's life begins with an append at row 0, which
// clears it; rows not yet written hold finite values without meaning.
void append(const KvLayout& layout, std::byte* page, int64_t row, int64_t rows, const KvRows& from);

// The first `rows` rows of a page that is read once and never appended to (the kernels' own): only
// what a product over those rows touches is written.
void pack_block(const KvLayout& layout, std::byte* page, int64_t rows, const KvRows& from);

// The rows back, contiguous: k [rows, kv_heads, d], v [rows, kv_heads, dv]. Exact (bf16 widens).
void read(const KvLayout& layout, const std::byte* page, int64_t row, int64_t rows, float* k,
          float* v);

// A sequence's pages: pages[i] holds the positions from (first_page + i) * 64 on. A window ring may
// have dropped the pages before first_page, where the mask hides them from every query.
struct KvPages {
  PoolVector<const std::byte*> pages;
  int64_t first_page = 0;
};

struct PagedKv {
  KvLayout layout;
  PoolVector<KvPages> sequences;
};

}  // namespace stemma
