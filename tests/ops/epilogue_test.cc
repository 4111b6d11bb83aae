// The epilogues of the matrix product have the bits of the ops that they replace, in every format,
// wherever the product's columns are cut.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/rng.h"
#include "gemm/gemm.h"
#include "ops/activation.h"
#include "ops/glu.h"
#include "ops/primitives.h"
#include "simd/isa.h"

namespace stemma {
namespace {

struct Fixture {
  Team team{2};
  Pool pool;
  Ctx c{.team = &team, .pool = &pool};

  Tensor random(std::initializer_list<int64_t> shape, uint64_t seed) {
    const Tensor t = Tensor::empty(c, shape);
    for (int64_t i = 0; i < t.elements(); ++i)
      t.data<float>()[i] =
          static_cast<float>(RngKey(seed).uniform(static_cast<uint64_t>(i)) * 4 - 2);
    return t;
  }
};

bool same(const Tensor& a, const Tensor& b) {
  const Tensor x = a, y = b;
  return x.shape() == y.shape() &&
         std::memcmp(x.data<float>(), y.data<float>(),
                     static_cast<size_t>(x.elements()) * sizeof(float)) == 0;
}

constexpr Activation kAll[] = {Activation::gelu,       Activation::gelu_tanh, Activation::gelu_10,
                               Activation::quick_gelu, Activation::silu,      Activation::relu,
                               Activation::relu2,      Activation::relu6,     Activation::tanh,
                               Activation::sigmoid,    Activation::mish,      Activation::identity};

class Epilogues : public testing::TestWithParam<Isa> {
 protected:
  ScopedIsa at_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Gemm, Epilogues, testing::ValuesIn(available_dot_isas()),
                         [](const auto& info) {
                           return std::to_string(static_cast<int>(info.param));
                         });

// n columns (half of them gates), k in one stretch or several.
void expect_fused(const Layout& layout, int64_t m, int64_t n, int64_t k, Activation kind,
                  bool gated, float scale) {
  SCOPED_TRACE(cat(format_name(layout.format), ": ", m, " x ", n, ", K ", k, ", ",
                   activation_name(kind), gated ? ", gated" : "", ", scale ", scale));
  Fixture f;
  Ctx& c = f.c;
  const int64_t out_n = gated ? n / 2 : n;
  const Tensor x = f.random({m, k}, 1), w = f.random({n, k}, 2), b = f.random({n}, 3);
  const Tensor residual = f.random({m, out_n}, 4);
  const Panels panels = pack_panels(c, {w.data<float>(), k, true}, k, n, layout);
  const MatrixRef rows{x.data<float>(), k};

  const Tensor sums = Tensor::empty(c, {m, n});
  gemm(c, m, rows, panels, {}, sums.data<float>(), n);
  Tensor y = add(c, sums, b);
  if (gated)
    y = glu(c, slice(c, y, 1, 0, n / 2), slice(c, y, 1, n / 2, n), kind);
  else
    y = activation(c, y, kind);
  if (scale != 1) y = mul(c, y, Tensor::scalar(c, static_cast<double>(scale), DType::f32));
  y = contiguous(c, add(c, residual, y));

  Epilogue e{.bias = b.data<float>(), .activation = kind, .gated = gated, .scale = scale};
  e.residual = residual.data<float>(), e.residual_stride = out_n;
  const Tensor out = Tensor::empty(c, {m, out_n});
  gemm(c, m, rows, panels, e, out.data<float>(), out_n);
  EXPECT_TRUE(same(out, y));

  std::vector<uint16_t> narrow(static_cast<size_t>(m * out_n));
  e.out = DType::bf16;
  gemm(c, m, rows, panels, e, narrow.data(), out_n);
  for (int64_t i = 0; i < m * out_n; ++i)
    ASSERT_EQ(narrow[static_cast<size_t>(i)], narrow_bf16(y.data<float>()[i])) << i;

  // In place: the residual is what the output held.
  e.out = DType::f32;
  std::memcpy(out.data<float>(), residual.data<float>(),
              static_cast<size_t>(m * out_n) * sizeof(float));
  e.residual = out.data<float>();
  gemm(c, m, rows, panels, e, out.data<float>(), out_n);
  EXPECT_TRUE(same(out, y));
}

TEST_P(Epilogues, HaveTheBitsOfTheOpsThatTheyReplace) {
  for (Activation kind : kAll) {
    expect_fused({}, 5, 96, 40, kind, false, 1);
    expect_fused({}, 5, 128, 40, kind, true, 0.5f);
  }
  for (const Layout& layout :
       {Layout{Format::f32}, Layout{Format::bf16}, Layout{Format::int8}, Layout{Format::int4, 32}})
    for (bool gated : {false, true}) {
      expect_fused(layout, 17, 70, 33, Activation::silu, gated, 1);  // halves share a panel
      expect_fused(layout, 33, 192, 1100, Activation::gelu, gated, 0.25f);
      expect_fused(layout, 193, 64, 65, Activation::silu, gated, 1);
    }
  // So many k that the sums wait for several chunks of rows.
  for (bool gated : {false, true}) expect_fused({}, 192, 64, 2100, Activation::relu, gated, 1);
}

}  // namespace
}  // namespace stemma
