#include "ops/attention/pages.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "gemm/bf16.h"
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
  void put(std::byte* panel, int64_t k, int64_t j, float x) const {
    if (wide)
      reinterpret_cast<float*>(panel)[at(k, j)] = x;
    else
      reinterpret_cast<uint16_t*>(panel)[at(k, j)] = narrow_bf16(x);
  }
  float get(const std::byte* panel, int64_t k, int64_t j) const {
    return wide ? reinterpret_cast<const float*>(panel)[at(k, j)]
                : widen_bf16(reinterpret_cast<const uint16_t*>(panel)[at(k, j)]);
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
    const MatrixRef keys{from + done * stride, stride, true};
    const float* x = from + done * stride;
    if (form.wide && column == 0 && n > 1)
      f32::pack_panel(keys, 0, d, 0, n, reinterpret_cast<float*>(to));
    else if (!form.wide && column == 0)
      bf16::pack_panel(keys, 0, d, 0, n, reinterpret_cast<uint16_t*>(to));
    else
      for (int64_t j = 0; j < n; ++j)
        for (int64_t k = 0; k < d; ++k) form.put(to, k, column + j, x[j * stride + k]);
    done += n;
  }
}

// Values [row, row + rows) of one head: element (value, column) is from[value * stride + column].
void append_values(const Form& form, std::byte* head, int64_t dv, int64_t row, int64_t rows,
                   const float* from, int64_t stride) {
  for (int64_t j = 0; j < dv; j += kColumns) {
    const int64_t columns = std::min(kColumns, dv - j);
    std::byte* panel = head + j * kTokens * form.size();
    std::byte* to = panel + form.at(row, 0) * form.size();
    const MatrixRef values{from + j, stride};
    if (form.wide)
      f32::pack_panel(values, 0, rows, 0, columns, reinterpret_cast<float*>(to));
    else if (row % bf16::kUnit == 0)
      bf16::pack_panel(values, 0, rows, 0, columns, reinterpret_cast<uint16_t*>(to));
    else
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t i = 0; i < columns; ++i) form.put(panel, row + r, i, from[r * stride + j + i]);
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
  write_rows(l, page, 0, rows, from);
}

void read(const KvLayout& l, const std::byte* page, int64_t row, int64_t rows, float* k, float* v) {
  check_rows(l, row, rows);
  const Form form(l);
  for (int64_t r = row; r < row + rows; ++r)
    for (int64_t h = 0; h < l.kv_heads; ++h) {
      const std::byte* keys = page + h * l.head_bytes();
      const std::byte* key_panel = keys + r / kColumns * form.key_depth * kColumns * form.size();
      for (int64_t i = 0; i < l.d; ++i) *k++ = form.get(key_panel, i, r % kColumns);
      for (int64_t j = 0; j < l.dv; ++j)
        *v++ = form.get(keys + l.key_bytes() + j / kColumns * kColumns * kTokens * form.size(), r,
                        j % kColumns);
    }
}

}  // namespace stemma
