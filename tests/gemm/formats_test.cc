// Every format at every level: against the product in double precision of what the packings stand
// for; a row alone against a row among thousands; pieces against the whole.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "gemm/gemm.h"
#include "gemm/operands.h"

namespace stemma {
namespace {

const Layout kLayouts[] = {{Format::f32},      {Format::bf16},     {Format::int8},
                           {Format::int4, 32}, {Format::int4, 64}, {Format::int4, 128}};

bool quantised(const Layout& layout) {
  return layout.format == Format::int8 || layout.format == Format::int4;
}

// Rounds n values to integers of a common scale, as A is for int8 and int4.
void quantise(float* x, int64_t n) {
  float most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, std::abs(x[i]));
  if (most == 0) return;
  const float scale = most / 127, inverse = 1 / scale;
  for (int64_t i = 0; i < n; ++i) x[i] = std::nearbyint(x[i] * inverse) * scale;
}

// What a format makes of A [m, k].
std::vector<float> as_taken(const Layout& layout, std::vector<float> a, int64_t m, int64_t k) {
  if (layout.format == Format::bf16)
    for (float& x : a) x = widen_bf16(narrow_bf16(x));
  if (quantised(layout)) {
    const int64_t group = layout.format == Format::int8 ? std::max<int64_t>(k, 1) : layout.group;
    for (int64_t i = 0; i < m; ++i)
      for (int64_t at = 0; at < k; at += group)
        quantise(a.data() + i * k + at, std::min(group, k - at));
  }
  return a;
}

class Formats : public testing::TestWithParam<std::tuple<Isa, Layout>> {
 protected:
  ScopedIsa at_{std::get<0>(GetParam())};
  Layout layout_ = std::get<1>(GetParam());
  Machine one_{1}, two_{2}, three_{3};
};
INSTANTIATE_TEST_SUITE_P(Gemm, Formats,
                         testing::Combine(testing::ValuesIn(available_dot_isas()),
                                          testing::ValuesIn(kLayouts)),
                         [](const auto& info) {
                           const Layout& l = std::get<1>(info.param);
                           std::string name = level_name(std::get<0>(info.param));
                           name += cat("_", format_name(l.format));
                           return l.group == 0 ? name : cat(name, "_", l.group);
                         });

struct Case {
  int64_t m, n, k;
  bool a_transposed, b_transposed, a_bf16, accumulate, packed;
};

// Rows of `columns` elements, or their transpose, in a buffer that ends where memory does.
template <class T>
struct Matrix {
  Matrix(int64_t rows, int64_t columns, bool transposed, uint64_t seed)
      : rows(rows), columns(columns), transposed(transposed), data(rows * columns) {
    fill(data, seed);
  }
  MatrixRef ref() const {
    return {data.data(), transposed ? rows : columns, transposed,
            sizeof(T) == 2 ? DType::bf16 : DType::f32};
  }
  std::vector<float> values() const {
    std::vector<float> out(static_cast<size_t>(rows * columns));
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        out[i * columns + j] = as_float(data[transposed ? j * rows + i : i * columns + j]);
    return out;
  }
  int64_t rows, columns;
  bool transposed;
  Guarded<T> data;
};

template <class T>
void expect_near(Ctx& c, const Layout& layout, const Case& s) {
  SCOPED_TRACE(cat(s.m, " x ", s.n, ", K ", s.k, s.a_transposed ? ", A^T" : "",
                   s.b_transposed ? ", B^T" : "", s.a_bf16 ? ", A bf16" : "",
                   s.accumulate ? ", accumulate" : "", s.packed ? ", packed" : ""));
  const Matrix<T> a(s.m, s.k, s.a_transposed, 1);
  const Matrix<float> b(s.k, s.n, s.b_transposed, 2);
  Guarded<float> out(s.m * s.n), before(s.m * s.n);
  fill(before, 3);
  std::copy_n(before.data(), s.m * s.n, out.data());
  const Panels panels = pack_panels(c, b.ref(), s.k, s.n, layout);
  const Epilogue e{.accumulate = s.accumulate};
  if (s.packed)
    gemm(c, s.m, a.ref(), panels, e, out.data(), s.n);
  else
    gemm(c, s.m, s.n, s.k, a.ref(), b.ref(), e, out.data(), s.n, layout.format);
  Guarded<float> weights(s.n * s.k);
  unpack_columns(panels, 0, s.n, weights.data());
  const std::vector<float> taken = as_taken(layout, a.values(), s.m, s.k);
  for (int64_t i = 0; i < s.m; ++i)
    for (int64_t j = 0; j < s.n; ++j) {
      double sum = s.accumulate ? static_cast<double>(before[i * s.n + j]) : 0;
      for (int64_t k = 0; k < s.k; ++k)
        sum += static_cast<double>(taken[i * s.k + k]) * static_cast<double>(weights[j * s.k + k]);
      ASSERT_NEAR(static_cast<double>(out[i * s.n + j]), sum, 2e-6 * (1 + static_cast<double>(s.k)))
          << i << ", " << j;
    }
}

TEST_P(Formats, AreNearTheProductOfWhatTheyStandFor) {
  const bool integers = quantised(layout_);
  // Every pair of m and n, and of each with k, but not all triples.
  constexpr int64_t kSizes[] = {0, 1, 3, 17, 63, 65}, kDepths[] = {0, 1, 3, 17, 63, 65, 130};
  int v = 0;
  for (size_t i = 0; i < std::size(kSizes); ++i)
    for (size_t j = 0; j < std::size(kSizes); ++j)
      for (const size_t l : {i + j, i + 2 * j + 3}) {
        const int64_t m = kSizes[i], n = kSizes[j], k = kDepths[l % std::size(kDepths)];
        const Case s{m,
                     n,
                     k,
                     !integers && (v & 1),
                     integers || (v & 2),
                     (v & 4) != 0,
                     (v & 8) != 0,
                     integers && layout_.format == Format::int4 ? true : (v & 16) != 0};
        if (s.a_bf16)
          expect_near<uint16_t>(two_.c, layout_, s);
        else
          expect_near<float>(two_.c, layout_, s);
        v += 5;
      }
  for (int64_t k : {700, 1100})
    expect_near<float>(two_.c, layout_, {20, 70, k, false, true, false, false, true});
  expect_near<float>(two_.c, layout_, {200, 33, 40, false, true, false, true, true});
}

TEST_P(Formats, StandNearWhatTheyWerePackedFrom) {
  const int64_t k = 150, n = 40;
  const Matrix<float> b(k, n, true, 4);
  Guarded<float> weights(n * k);
  unpack_columns(pack_panels(one_.c, b.ref(), k, n, layout_), 0, n, weights.data());
  const double limit[] = {0, 0x1p-9, 1 / 253.9, 1 / 7.9};
  for (int64_t i = 0; i < n * k; ++i)
    ASSERT_NEAR(static_cast<double>(weights[i]), static_cast<double>(b.data[i]),
                limit[static_cast<int>(layout_.format)])
        << i;
}

TEST_P(Formats, ARowIsTheSameAloneAndAmongThousandsAtAnyThreadCount) {
  for (const auto& [m, n, k] :
       {std::tuple<int64_t, int64_t, int64_t>{4096, 5, 36}, {261, 33, 600}}) {
    const Matrix<float> a(m, k, false, 1), b(k, n, true, 2);
    const Panels panels = pack_panels(one_.c, b.ref(), k, n, layout_);
    std::vector<float> all(m * n), again(m * n), row(n);
    gemm(one_.c, m, a.ref(), panels, {}, all.data(), n);
    for (Machine* machine : {&two_, &three_}) {
      gemm(machine->c, m, a.ref(), panels, {}, again.data(), n);
      ASSERT_EQ(0, std::memcmp(all.data(), again.data(), all.size() * sizeof(float)));
    }
    for (int64_t i : {0, 1, 11, 12, 15, 16, 33, 191, 192, 260})
      for (int64_t rows : {1, 2, 31}) {
        if (i + rows > m) continue;
        again.assign(static_cast<size_t>(rows * n), 0.0f);
        gemm(two_.c, rows, {a.data.data() + i * k, k}, panels, {}, again.data(), n);
        ASSERT_EQ(0, std::memcmp(all.data() + i * n, again.data(), again.size() * sizeof(float)))
            << rows << " rows from " << i << ", K " << k;
      }
  }
}

TEST_P(Formats, HaveTheSameBitsWhereTheyPromiseIt) {
  const bool dots = layout_.format == Format::bf16 && isa() > Isa::kAvx512;
  if (dots) GTEST_SKIP() << "bf16 has the order of this level's instruction";
  const int64_t m = 45, n = 70, k = 300;
  const Matrix<float> a(m, k, false, 1), b(k, n, true, 2);
  std::vector<float> here(m * n), scalar(m * n);
  gemm(one_.c, m, a.ref(), pack_panels(one_.c, b.ref(), k, n, layout_), {}, here.data(), n);
  const ScopedIsa below(Isa::kScalar);
  gemm(one_.c, m, a.ref(), pack_panels(one_.c, b.ref(), k, n, layout_), {}, scalar.data(), n);
  EXPECT_EQ(0, std::memcmp(here.data(), scalar.data(), here.size() * sizeof(float)));
}

bool same(const Panels& a, const Panels& b) {
  const auto bytes = static_cast<size_t>(panels_bytes(a.layout, a.k, a.n));
  return a.layout == b.layout && a.k == b.k && a.n == b.n &&
         std::memcmp(a.data.get(), b.data.get(), bytes) == 0;
}

TEST_P(Formats, ArePackedFromPiecesAsFromTheWhole) {
  const int64_t rows = 130, columns = 75;
  Guarded<float> w(rows * columns);
  fill(w, 7);
  // The middle piece in f16, the last in bf16: values that these hold exactly.
  Guarded<uint16_t> middle(33 * columns), last(52 * columns);
  for (int64_t i = 0; i < middle.size(); ++i) {
    middle[i] = narrow_f16(w[45 * columns + i]);
    w[45 * columns + i] = widen_f16(middle[i]);
  }
  for (int64_t i = 0; i < last.size(); ++i) {
    last[i] = narrow_bf16(w[78 * columns + i]);
    w[78 * columns + i] = widen_bf16(last[i]);
  }
  for (bool transposed : {true, false}) {
    if (!transposed && quantised(layout_)) continue;
    const int64_t k = transposed ? columns : rows, n = transposed ? rows : columns;
    const Piece pieces[] = {{{w.data(), columns, transposed}, 45},
                            {{middle.data(), columns, transposed, DType::f16}, 33},
                            {{last.data(), columns, transposed, DType::bf16}, 52}};
    EXPECT_TRUE(same(pack_panels(two_.c, pieces, k, n, layout_),
                     pack_panels(one_.c, {w.data(), columns, transposed}, k, n, layout_)))
        << transposed;
  }
}

TEST_P(Formats, AreTransposedAsWhatTheyStandFor) {
  const int64_t k = 75, n = 600;
  const Matrix<float> b(k, n, true, 5);
  const Panels panels = pack_panels(one_.c, b.ref(), k, n, layout_);
  Guarded<float> weights(n * k);
  unpack_columns(panels, 0, n, weights.data());
  for (const Layout& to : {Layout{Format::f32}, Layout{Format::bf16}})
    EXPECT_TRUE(same(transpose_panels(two_.c, panels, to),
                     pack_panels(one_.c, {weights.data(), k}, n, k, to)));
}

TEST_P(Formats, CarryWhatIsNotFinite) {
  const int64_t m = 3, n = 40, k = 70;
  Matrix<float> a(m, k, false, 1);
  const Matrix<float> b(k, n, true, 2);
  a.data[1 * k + 5] = NAN;
  std::vector<float> out(m * n);
  gemm(one_.c, m, a.ref(), pack_panels(one_.c, b.ref(), k, n, layout_), {}, out.data(), n);
  for (int64_t j = 0; j < n; ++j) {
    EXPECT_TRUE(std::isfinite(out[j]) && std::isfinite(out[2 * n + j]));
    EXPECT_TRUE(std::isnan(out[n + j]));
  }
}

TEST(GemmErrors, SayWhatWouldBeRight) {
  Machine machine(1);
  const std::vector<float> w(64 * 64);
  const auto message = [&](auto f) -> std::string {
    try {
      f();
    } catch (const Error& e) {
      return e.message();
    }
    return "";
  };
  Ctx& c = machine.c;
  EXPECT_NE(message([&] {
              pack_panels(c, {w.data(), 64}, 64, 64, {Format::int8});
            }).find("stored by columns"),
            std::string::npos);
  EXPECT_NE(message([&] {
              pack_panels(c, {w.data(), 64, true}, 64, 64, {Format::int4, 48});
            }).find("32, 64 or 128"),
            std::string::npos);
  const Piece piece{{w.data(), 64, true}, 63};
  EXPECT_NE(message([&] { pack_panels(c, std::span(&piece, 1), 64, 64); }).find("63 rows in all"),
            std::string::npos);
}

}  // namespace
}  // namespace stemma
