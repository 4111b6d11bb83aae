// Cutting: a task is a block of rows x a run of panels. It packs its block of A, a chunk of k at a
// time (into L2), and multiplies it with one panel's stretch of k (in L1) after the other; sums
// stay in L1 until the panel is done. The cuts depend on M, N and K alone, and none of them
// changes a result.
#include "gemm/gemm.h"

#include <algorithm>

#include "base/error.h"
#include "gemm/epilogue.h"
#include "gemm/format.h"
#include "simd/isa.h"

namespace stemma {
namespace {

constexpr int64_t kColumns = Panels::kColumns;
// Of packed rows that stay in L2 while panels pass by.
constexpr int64_t kChunkBytes = 768 << 10;
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
  // Each task packs its rows anew: a wide run of panels, as long as some sixteen tasks are left;
  // wider for dot products and tiles, which multiply faster than rows are packed.
  return std::max(worth,
                  std::clamp<int64_t>(row_blocks * panels / 16, isa() > Isa::kAvx512 ? 24 : 6, 96));
}

struct Problem {
  int64_t m, n, k;
  const FormatOps& format;
  Layout layout;
  Operand a;
  const Panels* packed;    // or else
  const MatrixRef& plain;  // packed by each task as it goes
  Epilogue epilogue;
  void* out;
  int64_t out_stride;
};

// How a problem is cut.
struct Cuts {
  explicit Cuts(const Problem& p)
      : rows(p.m, p.format.block_rows(), 48),
        depth(p.k, p.format.depth, std::max(p.format.unit, p.layout.group)),
        half(p.epilogue.gated ? p.n / 2 : 0),
        // The halves of a gated product are finished panel by panel where both begin with one.
        pairs(p.epilogue.gated && half % kColumns == 0),
        panels(ceil_div(pairs ? half : p.n, kColumns)),
        chunk(std::clamp<int64_t>(
            kChunkBytes / std::max<int64_t>(1, rows.size * depth.size * p.format.element_bytes), 1,
            depth.count)),
        chunks(ceil_div(depth.count, chunk)),
        in_place(trivial(p.epilogue) && p.format.finish == nullptr &&
                 (depth.count == 1 || chunks > 1)) {
    const int64_t worth = panels_per_task(rows.size, rows.count, p.k, panels);
    per_task = p.epilogue.gated && !pairs ? panels : worth;
    by_panel = chunks == 1 && (!p.epilogue.gated || pairs);
  }
  int64_t tasks() const { return rows.count * ceil_div(panels, per_task); }

  Cut rows, depth;
  int64_t half;
  bool pairs;
  int64_t panels;
  int64_t chunk, chunks;  // stretches of k in a chunk, and chunks
  bool in_place;          // sums are kept in `out`
  bool by_panel;          // sums are kept for one panel (or pair) at a time
  int64_t per_task;
};

class Task {
 public:
  Task(Ctx& c, const Problem& p, const Cuts& cuts, int64_t task)
      : p_(p),
        cuts_(cuts),
        row_(cuts.rows.begin(task % cuts.rows.count)),
        height_(cuts.rows.length(task % cuts.rows.count)),
        first_(task / cuts.rows.count * cuts.per_task),
        last_(std::min(cuts.panels, first_ + cuts.per_task)),
        row_bytes_(p.format.row_bytes(height_)),
        rows_(c.pool->allocate(static_cast<size_t>(row_bytes_ * cuts.chunk))) {
    if (p.packed == nullptr)
      panel_ =
          c.pool->allocate(static_cast<size_t>(p.format.panel_bytes(p.layout, cuts.depth.size)));
    if (cuts.in_place) return;
    width_ = (cuts.by_panel ? 1 : last_ - first_) * kColumns;
    stride_ = cuts.pairs ? 2 * width_ : width_;
    sums_ = c.pool->allocate(static_cast<size_t>(height_ * stride_) * sizeof(float));
  }

  void run() {
    for (int64_t chunk = 0; chunk < cuts_.chunks; ++chunk) {
      const int64_t begin = chunk * cuts_.chunk;
      const int64_t end = std::min(cuts_.depth.count, begin + cuts_.chunk);
      for (int64_t i = begin; i < end; ++i)
        p_.format.pack_rows(p_.layout, p_.a, row_, height_, cuts_.depth.begin(i),
                            cuts_.depth.length(i), rows(i - begin));
      const bool last = chunk + 1 == cuts_.chunks;
      for (int64_t p = first_; p < last_; ++p) {
        multiply(p, begin, end, sums_of(p), last);
        if (cuts_.pairs) multiply(p + cuts_.panels, begin, end, sums_of(p) + width_, last);
        if (last && cuts_.by_panel && !cuts_.in_place)
          finish_columns(p * kColumns, columns_of(p), sums_of(p));
      }
    }
    if (!cuts_.by_panel && !cuts_.in_place) {
      const int64_t column = first_ * kColumns;
      const int64_t n = p_.epilogue.gated ? cuts_.half : p_.n;
      finish_columns(column, std::min(n, last_ * kColumns) - column, sums_of(first_));
    }
  }

 private:
  std::byte* rows(int64_t i) const { return rows_.get() + i * row_bytes_; }
  int64_t columns_of(int64_t panel) const { return std::min(kColumns, p_.n - panel * kColumns); }

  float* sums_of(int64_t p) const {
    if (cuts_.in_place) return static_cast<float*>(p_.out) + row_ * p_.out_stride + p * kColumns;
    float* sums = reinterpret_cast<float*>(sums_.get());
    return cuts_.by_panel ? sums : sums + (p - first_) * kColumns;
  }
  int64_t stride() const { return cuts_.in_place ? p_.out_stride : stride_; }

  // Stretches [begin, end) of a panel, to its sums; `last`: k is done then.
  void multiply(int64_t panel, int64_t begin, int64_t end, float* sums, bool last) {
    const int64_t column = panel * kColumns, columns = columns_of(panel);
    if (begin == 0 && p_.epilogue.accumulate && !cuts_.in_place)
      for (int64_t r = 0; r < height_; ++r)
        std::copy_n(static_cast<const float*>(p_.out) + (row_ + r) * p_.out_stride + column,
                    columns, sums + r * stride_);
    const std::byte* whole = nullptr;
    if (p_.packed != nullptr)
      whole = p_.packed->data.get() + panel * p_.format.panel_bytes(p_.layout, p_.k);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t k = cuts_.depth.begin(i), depth = cuts_.depth.length(i);
      const std::byte* stretch = panel_.get();
      if (whole != nullptr)
        stretch = whole + p_.format.panel_offset(p_.layout, k);
      else
        p_.format.pack_panel(p_.layout, p_.plain, k, depth, column, columns, panel_.get());
      p_.format.multiply(p_.layout,
                         {.rows = rows(i - begin),
                          .transposed = p_.a.matrix.transposed,
                          .m = height_,
                          .depth = depth,
                          .from_out = i > 0 || p_.epilogue.accumulate},
                         stretch, columns, sums, stride());
    }
    if (last && p_.format.finish != nullptr)
      p_.format.finish(p_.layout, p_.a, row_, height_, whole, p_.k, columns, sums, stride());
  }

  void finish_columns(int64_t column, int64_t columns, float* sums) {
    finish(p_.epilogue,
           {.row = row_,
            .rows = height_,
            .column = column,
            .columns = columns,
            .sums = sums,
            .up = sums + (cuts_.pairs ? width_ : cuts_.half),
            .stride = stride_,
            .half = cuts_.half},
           p_.out, p_.out_stride);
  }

  const Problem& p_;
  const Cuts& cuts_;
  int64_t row_, height_, first_, last_;
  int64_t row_bytes_;
  Buffer rows_, panel_, sums_;
  int64_t width_ = 0, stride_ = 0;  // of the sums; the halves of a pair lie side by side
};

void run(Ctx& c, int64_t m, int64_t n, int64_t k, const MatrixRef& a, const Panels* packed,
         const MatrixRef& plain, const Layout& layout, Epilogue e, void* out, int64_t out_stride) {
  const FormatOps& format = ops_of(layout.format);
  check(!e.gated || n % 2 == 0, "[gemm] a gated product needs an even number of columns, not ", n);
  check(!e.accumulate || (!e.gated && e.out == DType::f32),
        "[gemm] only an ungated product in f32 accumulates");
  if (e.accumulate && format.quantised) {
    check(e.residual == nullptr, "[gemm] a product of integers takes a residual or accumulates");
    e.accumulate = false, e.residual = static_cast<const float*>(out),
    e.residual_stride = out_stride;
  }
  const Problem problem{m,      n,     k, format, layout,    format.prepare(c, layout, a, m, k),
                        packed, plain, e, out,    out_stride};
  const Cuts cuts(problem);
  c.team->run(cuts.tasks(), [&](int64_t task) { Task(c, problem, cuts, task).run(); });
}

float widened(const MatrixRef& a, int64_t at) {
  switch (a.dtype) {
    case DType::bf16:
      return widen_bf16(static_cast<const uint16_t*>(a.data)[at]);
    case DType::f16:
      return widen_f16(static_cast<const uint16_t*>(a.data)[at]);
    default:
      return static_cast<const float*>(a.data)[at];
  }
}

// Stored rows of several pieces.
class Stored {
 public:
  explicit Stored(std::span<const Piece> pieces) : pieces_(pieces) {
    for (const Piece& p : pieces) {
      total_ += p.rows;
      check(p.matrix.transposed == pieces[0].matrix.transposed,
            "[gemm] pieces of an operand must all be transposed or none");
      check(p.matrix.dtype == DType::f32 || p.matrix.dtype == DType::bf16 ||
                p.matrix.dtype == DType::f16,
            "[gemm] an operand of ", dtype_name(p.matrix.dtype),
            " cannot be packed; it may be F32, BF16 or F16");
    }
  }
  int64_t total() const { return total_; }
  bool transposed() const { return !pieces_.empty() && pieces_[0].matrix.transposed; }

  // Calls f(matrix, first stored row in it) for rows [begin, begin + count), elements [at, at + n)
  // of each: of the piece that holds them, or of a copy where there is no such piece.
  template <class F>
  void with(Ctx& c, int64_t begin, int64_t count, int64_t at, int64_t n, F f) const {
    int64_t first = 0;  // of the piece
    for (const Piece& p : pieces_) {
      if (begin >= first && begin + count <= first + p.rows) {
        MatrixRef m = p.matrix;
        const int64_t skip = (begin - first) * m.stride + at;
        m.data = static_cast<const std::byte*>(m.data) + skip * dtype_bits(m.dtype) / 8;
        return f(m);
      }
      first += p.rows;
    }
    const Buffer copy = c.pool->allocate(static_cast<size_t>(count * n) * sizeof(float));
    float* out = reinterpret_cast<float*>(copy.get());
    first = 0;
    for (const Piece& p : pieces_) {
      for (int64_t r = std::max(begin, first); r < std::min(begin + count, first + p.rows); ++r)
        for (int64_t i = 0; i < n; ++i)
          out[(r - begin) * n + i] = widened(p.matrix, (r - first) * p.matrix.stride + at + i);
      first += p.rows;
    }
    f(MatrixRef{out, n, transposed()});
  }

 private:
  std::span<const Piece> pieces_;
  int64_t total_ = 0;
};

}  // namespace

const FormatOps& ops_of(Format format) {
  switch (format) {
    case Format::bf16:
      return kBf16Ops;
    case Format::int8:
      return kInt8Ops;
    case Format::int4:
      return kInt4Ops;
    case Format::f32:
      break;
  }
  return kF32Ops;
}

const char* format_name(Format format) { return ops_of(format).name; }

int64_t panels_bytes(const Layout& layout, int64_t k, int64_t n) {
  return ceil_div(n, kColumns) * ops_of(layout.format).panel_bytes(layout, k);
}

Panels pack_panels(Ctx& c, std::span<const Piece> pieces, int64_t k, int64_t n,
                   const Layout& layout) {
  const FormatOps& format = ops_of(layout.format);
  const Stored stored(pieces);
  check(stored.total() == (stored.transposed() ? n : k), "[gemm] pieces have ", stored.total(),
        " rows in all; they must have ", stored.transposed() ? n : k);
  check(stored.transposed() || !format.quantised, "[gemm] ", format.name,
        " needs an operand that is stored by columns, as weights [N,K] are");
  const int64_t panels = ceil_div(n, kColumns), bytes = format.panel_bytes(layout, k);
  Panels packed{layout, k, n, c.pool->allocate(static_cast<size_t>(panels * bytes))};
  const int64_t grain = std::max<int64_t>(1, kTaskWork / 8 / std::max<int64_t>(1, k * kColumns));
  c.team->run_range(panels, grain, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      std::byte* panel = packed.data.get() + p * bytes;
      const int64_t column = p * kColumns, columns = std::min(kColumns, n - column);
      if (stored.transposed()) {
        stored.with(c, column, columns, 0, k, [&](const MatrixRef& b) {
          format.pack_panel(layout, b, 0, k, 0, columns, panel);
        });
        continue;
      }
      for (int64_t k0 = 0; k0 < k; k0 += format.depth) {
        const int64_t depth = std::min(format.depth, k - k0);
        stored.with(c, k0, depth, column, columns, [&](const MatrixRef& b) {
          format.pack_panel(layout, b, 0, depth, 0, columns,
                            panel + format.panel_offset(layout, k0));
        });
      }
    }
  });
  return packed;
}

Panels pack_panels(Ctx& c, const MatrixRef& b, int64_t k, int64_t n, const Layout& layout) {
  const Piece piece{b, b.transposed ? n : k};
  return pack_panels(c, std::span(&piece, 1), k, n, layout);
}

void unpack_columns(const Panels& b, int64_t column, int64_t columns, float* out) {
  const FormatOps& format = ops_of(b.layout.format);
  check(column % kColumns == 0, "[gemm] panels are unpacked from a multiple of ", kColumns,
        ", not from column ", column);
  for (int64_t j = 0; j < columns; j += kColumns)
    format.unpack(b.layout,
                  b.data.get() + (column + j) / kColumns * format.panel_bytes(b.layout, b.k), b.k,
                  std::min(kColumns, columns - j), out + j * b.k);
}

Panels transpose_panels(Ctx& c, const Panels& b, const Layout& layout) {
  const FormatOps& format = ops_of(layout.format);
  check(!format.quantised, "[gemm] panels are transposed to f32 or bf16, not to ", format.name);
  const int64_t panels = ceil_div(b.k, kColumns), bytes = format.panel_bytes(layout, b.n);
  Panels packed{layout, b.n, b.k, c.pool->allocate(static_cast<size_t>(panels * bytes))};
  // A stretch of the new k is a run of the old panels.
  c.team->run(ceil_div(b.n, format.depth), [&](int64_t stretch) {
    const int64_t k0 = stretch * format.depth, depth = std::min(format.depth, b.n - k0);
    const Buffer rows = c.pool->allocate(static_cast<size_t>(depth * b.k) * sizeof(float));
    float* values = reinterpret_cast<float*>(rows.get());
    unpack_columns(b, k0, depth, values);
    for (int64_t p = 0; p < panels; ++p)
      format.pack_panel(layout, {values, b.k}, 0, depth, p * kColumns,
                        std::min(kColumns, b.k - p * kColumns),
                        packed.data.get() + p * bytes + format.panel_offset(layout, k0));
  });
  return packed;
}

void gemm(Ctx& c, int64_t m, const MatrixRef& a, const Panels& b, const Epilogue& epilogue,
          void* out, int64_t out_stride) {
  if (m == 0 || b.n == 0) return;
  run(c, m, b.n, b.k, a, &b, {}, b.layout, epilogue, out, out_stride);
}

void gemm(Ctx& c, int64_t m, int64_t n, int64_t k, const MatrixRef& a, const MatrixRef& b,
          const Epilogue& epilogue, void* out, int64_t out_stride, Format format) {
  if (m == 0 || n == 0) return;
  const Layout layout{format};
  // Several blocks of rows share the panels: pack them once.
  if (m > ops_of(format).block_rows() || ops_of(format).quantised)
    return gemm(c, m, a, pack_panels(c, b, k, n, layout), epilogue, out, out_stride);
  run(c, m, n, k, a, nullptr, b, layout, epilogue, out, out_stride);
}

}  // namespace stemma
