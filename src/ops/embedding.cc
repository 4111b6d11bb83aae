// Gradient: dtable[ids[t]] += dy[t], in ascending t: the work is cut by columns, so that no two
// threads meet in a row of the table and the order of each sum is fixed.
#include "ops/embedding.h"

#include "ops/op.h"
#include "ops/rows.h"
#include "tensor/mapped.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/embedding.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// Columns [begin, end) of every row.
void add_rows(const int32_t* ids, int32_t padding_id, const float* dy, int64_t tokens,
              int64_t width, int64_t begin, int64_t end, float* dtable) {
  const hn::ScalableTag<float> d;
  for (int64_t t = 0; t < tokens; ++t) {
    if (ids[t] == padding_id) continue;
    const float* from = dy + t * width;
    float* to = dtable + ids[t] * width;
    for (int64_t j = begin; j < end; j += static_cast<int64_t>(hn::Lanes(d)))
      store_n(d, hn::Add(load_n(d, to + j, end - j), load_n(d, from + j, end - j)), to + j,
              end - j);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(add_rows);

struct Embedding {
  Tensor table, ids;
  int padding_id;
  Tensor y = {};
};

// A table in a file's own dtype: its rows become f32, and take no gradient.
bool is_stored(const Tensor& table) {
  return table.dtype() == DType::bf16 || table.dtype() == DType::f16;
}

void define(Ctx& c, Embedding& p) {
  p.y = gather(c, is_stored(p.table) ? to_f32(c, p.table) : p.table, p.ids);
  if (p.padding_id < 0) return;
  const Ints ids = p.ids.to_vector<int32_t>();
  std::vector<double> padded;
  for (int32_t id : ids) padded.push_back(id == p.padding_id);
  const Tensor is_padding =
      cast(c, Tensor::from<double>(c, padded, {p.ids.elements(), 1}), p.y.dtype());
  // A new handle on the same rows, which no tape knows: it takes no gradient.
  p.y = where(c, is_padding, p.y.view(p.y.shape(), p.y.strides()), p.y);
}

void forward(Ctx& c, Embedding& p, bool) {
  const int64_t tokens = p.ids.elements(), width = p.table.extent(1);
  p.y = Tensor::empty(c, {tokens, width});
  const DType dtype = p.table.dtype();
  const std::byte* table = p.table.bytes();
  const int64_t row_bytes = width * dtype_bits(dtype) / 8;
  const int32_t* ids = p.ids.data<int32_t>();
  float* y = p.y.data<float>();
  c.team->run_range(tokens, rows::grain(width), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      to_f32(table + ids[t] * row_bytes, dtype, width, y + t * width);
  });
}

const char* why_not(const Embedding& p) {
  return p.table.dtype() == DType::f32 || is_stored(p.table) ? nullptr : "it computes in F32";
}

void backward(Ctx& c, const Embedding& p, std::span<const Tensor> d, Grads& g) {
  const int64_t tokens = p.ids.elements(), width = p.table.extent(1);
  const float* dy = d[0].data<float>();
  const int32_t* ids = p.ids.data<int32_t>();
  float* dtable = g.into(c, p.table).data<float>();
  const auto run = STEMMA_AT_LEVEL(add_rows);
  c.team->run_range(width, 128, [&](int64_t begin, int64_t end) {
    run(ids, p.padding_id, dy, tokens, width, begin, end, dtable);
  });
}

std::vector<OpCase> cases() {
  return {{.name = "rows",
           .inputs =
               [](int64_t rows, int64_t n) {
                 return std::vector{OpInput::real({11, n}), OpInput::indices({rows}, 0, 11)};
               },
           .run = [](Ctx& c, const Tensors& in) -> Tensors { return {embedding(c, in[0], in[1])}; },
           .timed = true}};
}

const Op<Embedding> kEmbedding{{.name = "embedding",
                                .operands = {&Embedding::table},
                                .constants = {&Embedding::ids},
                                .results = {&Embedding::y},
                                .define = define,
                                .forward = {{"copy", forward, why_not}},
                                .backward = {{"columns", backward}},
                                .cases = cases}};

}  // namespace

Tensor embedding(Ctx& c, const Tensor& table, const Tensor& given, int padding_id) {
  check(table.rank() == 2 && given.rank() == 1, "[embedding] a table ", table.shape().to_string(),
        " and ids ", given.shape().to_string(), "; they must be [V,C] and [T]");
  const Tensor ids = contiguous(c, given);
  const int32_t* at = ids.data<int32_t>();
  for (int64_t t = 0; t < ids.elements(); ++t)
    check(at[t] >= 0 && at[t] < table.extent(0), "[embedding] id ", at[t], " at position ", t,
          " is outside the table of ", table.extent(0), " rows");
  return kEmbedding(c, {.table = table, .ids = ids, .padding_id = padding_id}).y;
}

}  // namespace stemma
#endif
