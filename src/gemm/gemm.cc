// Cutting: a task is a block of rows x a run of panels. It walks k in stretches; for each it packs
// its block of A (into L2) and multiplies it with one panel's stretch (in L1) after the other. The
// cuts depend on M, N and K alone, and none of them changes a result: each element is one chain.
#include "gemm/gemm.h"

#include <algorithm>

#include "base/error.h"
#include "gemm/f32.h"

namespace stemma {
namespace {

constexpr int64_t kColumns = Panels::kColumns;
// Multiply-adds that make a task worth its thread: about 5 microseconds' work.
constexpr int64_t kTaskWork = 1 << 18;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// [0, n) in equal stretches of at most `most`, but for the last.
struct Cut {
  Cut(int64_t n, int64_t most, int64_t multiple) : n(n) {
    count = std::max<int64_t>(1, ceil_div(n, most));
    size = std::max<int64_t>(1, ceil_div(ceil_div(n, count), multiple) * multiple);
    count = std::max<int64_t>(1, ceil_div(n, size));
  }
  int64_t begin(int64_t i) const { return i * size; }
  int64_t length(int64_t i) const { return std::min(size, n - i * size); }
  int64_t n, count, size;
};

int64_t panels_per_task(int64_t rows, int64_t row_blocks, int64_t k, int64_t panels) {
  const int64_t worth = ceil_div(kTaskWork, std::max<int64_t>(1, rows * k * kColumns));
  if (rows < 8) return std::max<int64_t>(worth, 4);
  // Each task packs its rows anew: a wide run of panels, as long as some sixteen tasks are left.
  return std::max(worth, std::clamp<int64_t>(row_blocks * panels / 16, 6, 48));
}

float* floats(const Buffer& buffer) { return reinterpret_cast<float*>(buffer.get()); }

Buffer allocate(Ctx& c, int64_t count) {
  return c.pool->allocate(static_cast<size_t>(count) * sizeof(float));
}

// `packed`, or else `plain`, packed by each task as it goes.
void run(Ctx& c, int64_t m, int64_t n, int64_t k, const MatrixRef& a, const Panels* packed,
         const MatrixRef& plain, const Epilogue& epilogue, float* out, int64_t out_stride) {
  const Cut rows(m, f32::kBlockRows, 12), depth(k, f32::kDepth, 8);
  const int64_t panels = ceil_div(n, kColumns);
  const int64_t per_task = panels_per_task(rows.size, rows.count, k, panels);
  c.team->run(rows.count * ceil_div(panels, per_task), [&](int64_t task) {
    const int64_t block = task % rows.count;
    const int64_t row = rows.begin(block), height = rows.length(block);
    const int64_t first = task / rows.count * per_task;
    const int64_t last = std::min(panels, first + per_task);
    const Buffer block_of_a = allocate(c, f32::row_floats(f32::kBlockRows));
    const Buffer panel_of_b = packed == nullptr ? allocate(c, f32::kDepth * kColumns) : Buffer();
    for (int64_t i = 0; i < depth.count; ++i) {
      const int64_t k0 = depth.begin(i), length = depth.length(i);
      f32::pack_rows(a, row, height, k0, length, floats(block_of_a));
      const bool last_stretch = i + 1 == depth.count;
      for (int64_t p = first; p < last; ++p) {
        const int64_t column = p * kColumns, columns = std::min(kColumns, n - column);
        const float* panel;
        if (packed != nullptr) {
          panel = packed->panel(p) + k0 * kColumns;
        } else {
          f32::pack_panel(plain, k0, length, column, columns, floats(panel_of_b));
          panel = floats(panel_of_b);
        }
        f32::multiply({.rows = floats(block_of_a),
                       .transposed = a.transposed,
                       .m = height,
                       .depth = length,
                       .bias = last_stretch && epilogue.bias ? epilogue.bias + column : nullptr,
                       .from_out = i > 0 || epilogue.accumulate},
                      panel, columns, out + row * out_stride + column, out_stride);
      }
    }
  });
}

}  // namespace

Panels pack_panels(Ctx& c, const MatrixRef& b, int64_t k, int64_t n) {
  const int64_t panels = ceil_div(n, kColumns);
  Panels packed{k, n, allocate(c, panels * kColumns * k)};
  const int64_t grain = std::max<int64_t>(1, kTaskWork / 8 / std::max<int64_t>(1, k * kColumns));
  c.team->run_range(panels, grain, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p)
      f32::pack_panel(b, 0, k, p * kColumns, std::min(kColumns, n - p * kColumns),
                      const_cast<float*>(packed.panel(p)));
  });
  return packed;
}

void gemm(Ctx& c, int64_t m, const MatrixRef& a, const Panels& b, const Epilogue& epilogue,
          float* out, int64_t out_stride) {
  if (m == 0 || b.n == 0) return;
  run(c, m, b.n, b.k, a, &b, {}, epilogue, out, out_stride);
}

void gemm(Ctx& c, int64_t m, int64_t n, int64_t k, const MatrixRef& a, const MatrixRef& b,
          const Epilogue& epilogue, float* out, int64_t out_stride) {
  if (m == 0 || n == 0) return;
  // Several blocks of rows share the panels: pack them once.
  if (m > f32::kBlockRows) return gemm(c, m, a, pack_panels(c, b, k, n), epilogue, out, out_stride);
  run(c, m, n, k, a, nullptr, b, epilogue, out, out_stride);
}

}  // namespace stemma
