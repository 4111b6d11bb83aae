#include "ops/attention/pages.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "gemm/f32.h"

namespace stemma {
namespace {

constexpr int64_t kColumns = Panels::kColumns;
constexpr int64_t kTokens = KvLayout::kTokens;

int64_t round_up(int64_t n) { return (n + kColumns - 1) / kColumns * kColumns; }

// How the two halves of a head's part of a page are shaped: the rows of one panel (its depth), and
// where element (depth k, column j) of a panel lies.
struct Form {
  explicit Form(const KvLayout& l)
      : wide(l.dtype == DType::f32), key_depth(wide ? l.d : round_up(l.d)) {}
  int64_t size() const { return wide ? 4 : 2; }
  int64_t at(int64_t k, int64_t j) const {
    return wide ? k * kColumns + j : k / 2 * (2 * kColumns) + 2 * j + k % 2;
  }
  bool wide;  // f32
  int64_t key_depth;
};

void check_layout(const KvLayout& l) {
  check(l.dtype == DType::f32 || l.dtype == DType::bf16, "[kv pages] keys and values in ",
        dtype_name(l.dtype), "; they may be F32 or BF16");
}

void check_rows(const KvLayout& l, int64_t row, int64_t rows) {
  check_layout(l);
  check(row >= 0 && rows >= 0 && row + rows <= kTokens, "[kv pages] rows ", row, " to ", row + rows,
        " of a page of ", kTokens);
}

// Keys [row, row + rows) of one head: element (k, key) of the panels is from[key * stride + k].
void append_keys(const Form& form, std::byte* head, int64_t d, int64_t row, int64_t rows,
                 const float* from, int64_t stride) {
  for (int64_t done = 0; done < rows;) {
    const int64_t key = row + done, panel = key / kColumns, column = key % kColumns;
    const int64_t n = std::min(rows - done, kColumns - column);
    std::byte* to = head + panel * form.key_depth * kColumns * form.size();
    const float* x = from + done * stride;
    if (form.wide && column == 0 && n > 1) {
      f32::pack_panel({x, stride, true}, 0, d, 0, n, reinterpret_cast<float*>(to));
    } else if (form.wide) {
      for (int64_t k = 0; k < d; ++k)
        for (int64_t j = 0; j < n; ++j)
          reinterpret_cast<float*>(to)[k * kColumns + column + j] = x[j * stride + k];
    } else {
      for (int64_t j = 0; j < n; ++j)
        for (int64_t k = 0; k < d; ++k)
          reinterpret_cast<uint16_t*>(to)[form.at(k, column + j)] = narrow_bf16(x[j * stride + k]);
    }
    done += n;
  }
}

// Values [row, row + rows) of one head: element (value, column) is from[value * stride + column].
void append_values(const Form& form, std::byte* head, int64_t dv, int64_t row, int64_t rows,
                   const float* from, int64_t stride) {
  for (int64_t j = 0; j < dv; j += kColumns) {
    const int64_t columns = std::min(kColumns, dv - j);
    std::byte* to = head + j * kTokens * form.size();
    for (int64_t r = 0; r < rows; ++r) {
      const float* x = from + r * stride + j;
      if (form.wide)
        std::copy_n(x, columns, reinterpret_cast<float*>(to) + form.at(row + r, 0));
      else
        for (int64_t i = 0; i < columns; ++i)
          reinterpret_cast<uint16_t*>(to)[form.at(row + r, i)] = narrow_bf16(x[i]);
    }
  }
}

void write_rows(const KvLayout& l, std::byte* page, int64_t row, int64_t rows, const KvRows& from) {
  const Form form(l);
  for (int64_t h = 0; h < l.kv_heads; ++h) {
    std::byte* head = page + h * l.head_bytes();
    append_keys(form, head, l.d, row, rows, from.k + h * l.d, from.k_stride);
    append_values(form, head + l.key_bytes(), l.dv, row, rows, from.v + h * l.dv, from.v_stride);
  }
}

float element(const Form& form, const std::byte* panel, int64_t k, int64_t j) {
  return form.wide ? reinterpret_cast<const float*>(panel)[form.at(k, j)]
                   : widen_bf16(reinterpret_cast<const uint16_t*>(panel)[form.at(k, j)]);
}

}  // namespace

int64_t KvLayout::key_bytes() const {
  const Form form(*this);
  return kTokens * form.key_depth * form.size();
}

int64_t KvLayout::value_bytes() const { return kTokens * round_up(dv) * Form(*this).size(); }

void append(const KvLayout& l, std::byte* page, int64_t row, int64_t rows, const KvRows& from) {
  check_rows(l, row, rows);
  if (row == 0) std::memset(page, 0, static_cast<size_t>(l.bytes()));
  write_rows(l, page, row, rows, from);
}

void pack_block(const KvLayout& l, std::byte* page, int64_t rows, const KvRows& from) {
  check_rows(l, 0, rows);
  const Form form(l);
  // What lies past the last column, or past the last row of a pair, is multiplied.
  if (!form.wide || l.dv % kColumns != 0) {
    const int64_t touched = form.wide ? rows : round_up(rows);
    for (int64_t h = 0; h < l.kv_heads; ++h)
      for (int64_t j = 0; j < round_up(l.dv); j += kColumns)
        std::memset(page + h * l.head_bytes() + l.key_bytes() + j * kTokens * form.size(), 0,
                    static_cast<size_t>(touched * kColumns * form.size()));
    if (!form.wide)
      for (int64_t h = 0; h < l.kv_heads; ++h)
        std::memset(page + h * l.head_bytes(), 0, static_cast<size_t>(l.key_bytes()));
  }
  write_rows(l, page, 0, rows, from);
}

void read(const KvLayout& l, const std::byte* page, int64_t row, int64_t rows, float* k, float* v) {
  check_rows(l, row, rows);
  const Form form(l);
  for (int64_t r = row; r < row + rows; ++r)
    for (int64_t h = 0; h < l.kv_heads; ++h) {
      const std::byte* keys = page + h * l.head_bytes();
      const std::byte* key_panel = keys + r / kColumns * form.key_depth * kColumns * form.size();
      for (int64_t i = 0; i < l.d; ++i) *k++ = element(form, key_panel, i, r % kColumns);
      for (int64_t j = 0; j < l.dv; ++j)
        *v++ = element(form, keys + l.key_bytes() + j / kColumns * kColumns * kTokens * form.size(),
                       r, j % kColumns);
    }
}

}  // namespace stemma
