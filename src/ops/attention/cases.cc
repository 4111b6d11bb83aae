// Examples of attention for the op driver: every kind of mask, bias and option,
// over sequences of several lengths, an empty one among them.
#include "ops/attention/call.h"
#include "ops/primitives.h"

namespace stemma {
namespace {

struct Variant {
  const char* name;
  int64_t heads = 2, kv_heads = 2;
  int64_t extra_width = 0;  // Dv = D + extra_width
  bool more_keys = false;   // than queries
  bool fused = false;       // q, k and v are columns of one operand
  bool with_lse = false;
  bool placed = false;          // queries stand here and there among the keys
  DType products = DType::f32;  // what attention multiplies in
  // The rest of the plan, from its offsets; `extra` are operands beyond q, k
  // and v.
  std::function<std::vector<OpInput>(int64_t heads, int64_t tq, int64_t tk)> extra = nullptr;
  std::function<void(AttentionPlan& plan, const Tensors& extra)> set = nullptr;
};

// In the largest problem several blocks of keys, strips and tasks.
Ints lengths(int64_t rows) {
  if (rows >= 100) return {5, 0, 130};
  return {static_cast<int>(rows / 2), 0, static_cast<int>(rows - rows / 2)};
}

Offsets offsets(const Ints& lengths) {
  Offsets start{0};
  for (int n : lengths) start.push_back(start.back() + n);
  return start;
}

AttentionPlan plan_of(const Variant& v, int64_t rows) {
  Ints keys = lengths(rows);
  if (v.more_keys)
    for (size_t s = 0; s < keys.size(); ++s) keys[s] += static_cast<int>(7 * s);
  AttentionPlan plan{.q_start = offsets(lengths(rows)), .k_start = offsets(keys)};
  for (size_t s = 0; s < keys.size() && v.placed; ++s)
    for (int i = 0; i < plan.q_start[s + 1] - plan.q_start[s]; ++i)
      plan.q_position.push_back(i * 7 % keys[s]);
  return plan;
}

OpCase make_case(const Variant& v) {
  const auto inputs = [v](int64_t rows, int64_t n) {
    const AttentionPlan plan = plan_of(v, rows);
    const int64_t tq = plan.q_start.back(), tk = plan.k_start.back();
    std::vector<OpInput> in{OpInput::real({tq, v.heads, n}), OpInput::real({tk, v.kv_heads, n}),
                            OpInput::real({tk, v.kv_heads, n + v.extra_width})};
    if (v.fused) in = {OpInput::real({tq, (v.heads + 2 * v.kv_heads) * n})};
    if (v.extra)
      for (const OpInput& more : v.extra(v.heads, tq, tk)) in.push_back(more);
    return in;
  };
  const auto run = [v](Ctx& c, const Tensors& in) -> Tensors {
    const int64_t tq = in[0].extent(0);
    AttentionPlan plan = plan_of(v, tq >= 100 ? 100 : tq);
    if (v.set) v.set(plan, Tensors(in.begin() + (v.fused ? 1 : 3), in.end()));
    Tensors qkv = in;
    if (v.fused) {
      const int64_t n = in[0].extent(1) / (v.heads + 2 * v.kv_heads);
      const auto part = [&](int64_t first, int64_t heads) {
        return reshape(c, slice(c, in[0], 1, first * n, (first + heads) * n), {tq, heads, n});
      };
      qkv = {part(0, v.heads), part(v.heads, v.kv_heads), part(v.heads + v.kv_heads, v.kv_heads)};
    }
    Ctx inside = c;
    inside.num.dtype = v.products;
    if (!v.with_lse) return {attention(inside, qkv[0], qkv[1], qkv[2], plan)};
    const Attended both = attention_with_lse(inside, qkv[0], qkv[1], qkv[2], plan);
    return {both.out, both.lse};
  };
  OpCase example{.name = v.name, .inputs = inputs, .run = run, .smallest = 1};
  // Operands are rounded to eight bits.
  if (v.products == DType::bf16) example.tolerance = 0.03, example.grad_tolerance = 0.06;
  return example;
}

// Sets a mask.
auto masked(Mask mask) {
  return [mask = std::move(mask)](AttentionPlan& plan, const Tensors&) { plan.mask = mask; };
}

// Each query sees itself and every third key before and after.
Bitmap every_third(const AttentionPlan& plan) {
  std::vector<Bits> all;
  for (size_t s = 0; s + 1 < plan.q_start.size(); ++s) {
    const int64_t nq = plan.q_start[s + 1] - plan.q_start[s],
                  nk = plan.k_start[s + 1] - plan.k_start[s];
    Bits& bits = all.emplace_back(nq, nk);
    for (int64_t i = 0; i < nq; ++i)
      for (int64_t j = i % 3; j < nk; j += 3) bits.show(i, j);
  }
  return Bitmap(std::move(all));
}

OpInput table(int64_t columns, int64_t heads) { return OpInput::real({columns, heads}); }

// Two segments, whatever the sequence.
SameSegment segments(const AttentionPlan& plan) {
  SameSegment out;
  for (int i = 0; i < plan.q_start.back(); ++i) out.query.push_back(i % 5 < 2);
  for (int j = 0; j < plan.k_start.back(); ++j) out.key.push_back(j % 7 < 3);
  return out;
}

std::vector<Variant> variants() {
  return {
      {.name = "full"},
      {.name = "causal", .set = masked({Causal{}})},
      {.name = "causal_bf16",
       .heads = 4,
       .with_lse = true,
       .products = DType::bf16,
       .set = masked({Causal{}})},
      {.name = "causal_window", .kv_heads = 1, .set = masked({Causal{}, SlidingWindow{.left = 8}})},
      {.name = "window",
       .kv_heads = 1,
       .more_keys = true,
       .set = masked({SlidingWindow{.left = 2}})},
      {.name = "window_of_both_sides", .set = masked({SlidingWindow{.left = 20, .right = 30}})},
      {.name = "chunked", .set = masked({Causal{}, Chunked{.size = 24}})},
      {.name = "grouped_more_keys",
       .heads = 4,
       .extra_width = 3,
       .more_keys = true,
       .set = masked({Causal{}})},
      {.name = "prefix",
       .set =
           [](AttentionPlan& plan, const Tensors&) {
             Prefix prefix;
             for (size_t s = 0; s + 1 < plan.q_start.size(); ++s)
               prefix.lengths.push_back((plan.q_start[s + 1] - plan.q_start[s]) / 2);
             plan.mask = {prefix};
           }},
      {.name = "bitmap",
       .set =
           [](AttentionPlan& plan, const Tensors&) {
             plan.mask = {every_third(plan), SlidingWindow{.left = 40}};
           }},
      {.name = "fused", .heads = 4, .fused = true, .set = masked({Causal{}})},
      {.name = "softcap",
       .set =
           [](AttentionPlan& plan, const Tensors&) {
             plan.mask = {Causal{}};
             plan.softcap = 1.5f;
           }},
      {.name = "log_sum_exp", .heads = 4, .with_lse = true, .set = masked({Causal{}})},
      {.name = "sink",
       .heads = 4,
       .with_lse = true,
       .extra = [](int64_t heads, int64_t, int64_t) { return std::vector{OpInput::real({heads})}; },
       .set =
           [](AttentionPlan& plan, const Tensors& extra) {
             plan.mask = {Causal{}, SlidingWindow{.left = 30}};
             plan.sink = extra[0];
           }},
      {.name = "t5",
       .extra = [](int64_t heads, int64_t, int64_t) { return std::vector{table(32, heads)}; },
       .set =
           [](AttentionPlan& plan, const Tensors& extra) {
             plan.bias = {HeadTable{extra[0], T5Bucket{.bidirectional = true}}};
             plan.scale = 0.1f;
           }},
      {.name = "t5_decoder",
       .heads = 4,
       .more_keys = true,
       .extra = [](int64_t heads, int64_t, int64_t) { return std::vector{table(16, heads)}; },
       .set =
           [](AttentionPlan& plan, const Tensors& extra) {
             plan.bias = {HeadTable{extra[0], T5Bucket{.buckets = 16, .max_distance = 60}}};
             plan.mask = {Causal{}};
           }},
      {.name = "alibi_and_a_term_a_key",
       .extra =
           [](int64_t heads, int64_t, int64_t tk) {
             return std::vector{OpInput::real({heads}).between(0, 0.1),
                                OpInput::real({tk, heads, 1})};
           },
       .set =
           [](AttentionPlan& plan, const Tensors& extra) {
             plan.bias = {Slopes{extra[0]}, KeyRows{extra[1], One{}}};
             plan.softcap = 20;
           }},
      {.name = "deberta",
       .extra =
           [](int64_t heads, int64_t tq, int64_t tk) {
             return std::vector{OpInput::real({tq, heads, 16}), OpInput::real({tk, heads, 16})};
           },
       .set =
           [](AttentionPlan& plan, const Tensors& extra) {
             const LogBucket index{.buckets = 8, .max_distance = 32};
             plan.bias = {QueryRows{extra[0], index}, KeyRows{extra[1], index}};
           }},
      {.name = "deberta_bf16_grouped",
       .heads = 4,
       .products = DType::bf16,
       .extra =
           [](int64_t heads, int64_t tq, int64_t tk) {
             return std::vector{OpInput::real({tq, heads, 9}), OpInput::real({tk, heads, 16})};
           },
       .set =
           [](AttentionPlan& plan, const Tensors& extra) {
             plan.bias = {QueryRows{extra[0], Distance{-4, 4}},
                          KeyRows{extra[1], LogBucket{.buckets = 8, .max_distance = 32}}};
           }},
      {.name = "placed_queries",
       .more_keys = true,
       .placed = true,
       .extra =
           [](int64_t heads, int64_t, int64_t) {
             return std::vector{table(32, heads), OpInput::real({heads}).between(0, 0.1)};
           },
       .set =
           [](AttentionPlan& plan, const Tensors& extra) {
             plan.bias = {HeadTable{extra[0], T5Bucket{.bidirectional = true}}, Slopes{extra[1]}};
             plan.mask = {SlidingWindow{.left = 20, .right = 70}};
           }},
      {.name = "xlnet",
       .more_keys = true,
       .placed = true,
       .extra =
           [](int64_t heads, int64_t tq, int64_t) {
             return std::vector{OpInput::real({tq, heads, 61}), OpInput::real({tq, heads, 2})};
           },
       .set =
           [](AttentionPlan& plan, const Tensors& extra) {
             plan.bias = {QueryRows{extra[0], Distance{-30, 30}},
                          QueryRows{extra[1], segments(plan)}};
             plan.mask = {every_third(plan)};
           }},
      {.name = "table_by_segment",
       .more_keys = true,
       .extra =
           [](int64_t heads, int64_t tq, int64_t) {
             return std::vector{OpInput::real({tq, heads, 61}), OpInput::real({tq, heads, 2}),
                                table(2, heads)};
           },
       .set =
           [](AttentionPlan& plan, const Tensors& extra) {
             plan.bias = {QueryRows{extra[0], Distance{-30, 30}},
                          QueryRows{extra[1], segments(plan)}, HeadTable{extra[2], segments(plan)}};
             plan.mask = {every_third(plan)};
           }},
  };
}

}  // namespace

std::vector<OpCase> attention_cases() {
  std::vector<OpCase> all;
  for (const Variant& v : variants()) all.push_back(make_case(v));
  return all;
}

}  // namespace stemma
