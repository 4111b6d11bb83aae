#include "gemm/gemm.h"

#include <algorithm>
#include <charconv>
#include <memory>

#include "base/error.h"
#include "bench/items.h"
#include "bench/memory.h"

namespace stemma::bench {
namespace {

// Rows from which on the products, not the weights' way from memory, set the pace.
constexpr int64_t kManyRows = 512;
// Weights so small that more of them would be needed are never read from memory in practice.
constexpr int64_t kMostCopies = 4096;

// The operands of one row: x [M,K], the packed weights [N,K], as many of them as it takes, y [M,N].
struct Operands {
  std::vector<float> x, y;
  std::vector<Panels> weights;
  size_t next = 0;
};

Job prepare(Ctx& c, const GemmShape& s, const Layout& layout) {
  const auto operands = std::make_shared<Operands>();
  operands->x.assign(static_cast<size_t>(s.m * s.k), 0.5f);
  operands->y.resize(static_cast<size_t>(s.m * s.n));
  const std::vector<float> w(static_cast<size_t>(s.k * s.n), 0.25f);
  const double bytes = static_cast<double>(panels_bytes(layout, s.k, s.n));
  const bool streamed = s.m < kManyRows;
  const int64_t copies =
      streamed ? std::min(kMostCopies, beyond_cache() / static_cast<int64_t>(bytes) + 1) : 1;
  for (int64_t i = 0; i < copies; ++i)
    operands->weights.push_back(pack_panels(c, {w.data(), s.k, true}, s.k, s.n, layout));
  const double operations = 2 * static_cast<double>(s.m) * static_cast<double>(s.k * s.n);
  const bool bytes_count = s.m == 1;
  return {.call =
              [&c, s, operands] {
                const Panels& weights = operands->weights[operands->next];
                operands->next = (operands->next + 1) % operands->weights.size();
                gemm(c, s.m, {operands->x.data(), s.k}, weights, {}, operands->y.data(), s.n);
              },
          .amount = bytes_count ? bytes : operations,
          .operations = operations,
          .bytes = streamed ? bytes : 0};
}

}  // namespace

std::vector<GemmShape> parse_shapes(std::string_view text) {
  std::vector<GemmShape> shapes;
  const auto bad = [&] {
    fail(Code::kUsage, "[bench] shapes are M x K x N, as in 512x768x3072,1x896x4864; got '", text,
         "'");
  };
  for (const char *at = text.data(), *end = at + text.size(); at < end;) {
    int64_t extent[3];
    for (int i = 0; i < 3; ++i) {
      const auto [next, error] = std::from_chars(at, end, extent[i]);
      const char separator = i < 2 ? 'x' : ',';
      if (error != std::errc() || extent[i] < 1 || extent[i] > (1 << 20)) bad();
      if (next == end ? i < 2 : *next != separator) bad();
      at = next == end ? end : next + 1;
    }
    shapes.push_back({extent[0], extent[1], extent[2]});
  }
  if (shapes.empty() || text.ends_with(',')) bad();
  return shapes;
}

std::vector<GemmShape> gemm_shapes(bool full) {
  constexpr int64_t kRows[] = {1, 32, 128, 512, 2048};
  std::vector<GemmShape> shapes;
  if (full) {
    constexpr int64_t kWidths[] = {384, 768, 896, 2048, 3072, 4864, 8192};
    for (int64_t m : kRows)
      for (int64_t k : kWidths)
        for (int64_t n : kWidths) shapes.push_back({m, k, n});
    return shapes;
  }
  // MiniLM, BERT-base, a decoder of 0.5B and one of 1B.
  constexpr struct {
    int64_t k, n;
  } kMatrices[] = {{384, 384},  {384, 1536}, {768, 768},  {768, 3072},
                   {3072, 768}, {896, 4864}, {4864, 896}, {2048, 8192}};
  for (int64_t m : kRows)
    for (const auto& [k, n] : kMatrices) shapes.push_back({m, k, n});
  return shapes;
}

std::vector<Item> gemm_items(const std::vector<GemmShape>& shapes) {
  std::vector<Item> items;
  constexpr struct {
    Layout layout;
    Math math;
  } kFormats[] = {{{Format::f32}, Math::f32},
                  {{Format::bf16}, Math::bf16},
                  {{Format::int8}, Math::int8},
                  {{Format::int4, 32}, Math::int8}};
  for (const auto& [layout, math] : kFormats)
    for (const GemmShape& s : shapes)
      items.push_back({.work = "gemm",
                       .shape = cat(s.m, "x", s.k, "x", s.n),
                       .dtype = format_name(layout.format),
                       .unit = s.m == 1             ? "GB/s"
                               : math == Math::int8 ? "GOP/s"
                                                    : "GFLOP/s",
                       .math = math,
                       .prepare = [s, layout = layout](Ctx& c) { return prepare(c, s, layout); }});
  return items;
}

}  // namespace stemma::bench
