#include "nn/attention.h"

#include <algorithm>
#include <cmath>

#include "ops/attention/attention.h"
#include "ops/primitives.h"

namespace stemma {
namespace {

// A projection's columns as heads: [T, heads * head_size] -> [T, heads, head_size].
Tensor as_heads(Ctx& c, const Tensor& x, int heads, int head_size) {
  return reshape(c, x, {x.extent(0), heads, head_size});
}

Tensor side_by_side(Ctx& c, const Tensor& heads) {
  return reshape(c, heads, {heads.extent(0), heads.extent(1) * heads.extent(2)});
}

int64_t query_width(const Attention& spec) { return int64_t{spec.heads} * spec.head_size; }
int64_t key_width(const Attention& spec) { return int64_t{spec.kv_heads} * spec.head_size; }

// Where scores are not divided by the root of the head's size, queries start small enough that they
// are as large as if they were (T5).
double query_start(const Attention& spec) {
  constexpr double kRounding = 1e-9;
  const double ratio = 1 / (spec.scale * std::sqrt(static_cast<double>(spec.head_size)));
  return ratio < 1 - kRounding ? ratio : 1;
}

}  // namespace

AttentionLayer declare(const Place& place, const Attention& spec) {
  const auto& [store, name, stack, width, std, out_std] = place;
  AttentionLayer layer;
  layer.spec = spec;
  layer.qkv = Linear::declare(store,
                              {{name + ".q", query_width(spec), spec.q_bias, query_start(spec)},
                               {name + ".k", key_width(spec), spec.k_bias},
                               {name + ".v", key_width(spec), spec.v_bias}},
                              width, std);
  layer.out =
      Linear::declare(store, {{name + ".out", width, spec.out_bias}}, query_width(spec), out_std);
  if (spec.qk_norm) {
    layer.q_norm = NormLayer::declare(store, name + ".q_norm", *spec.qk_norm, spec.head_size);
    layer.k_norm = NormLayer::declare(store, name + ".k_norm", *spec.qk_norm, spec.head_size);
  }
  if (spec.sinks) {
    layer.sinks = &store.declare(name + ".sinks", {spec.heads}, Init::normal(std));
    layer.sinks->widened = true;
  }
  if (const auto* relative = std::get_if<RelativeBuckets>(&spec.position)) {
    const std::string table = relative->shared ? stack + "buckets" : name + ".buckets";
    layer.buckets = store.find(table);
    if (!layer.buckets)
      layer.buckets =
          &store.declare(table, {relative->buckets, spec.heads}, Init::normal(place.std));
    layer.buckets->widened = true;
  }
  if (std::holds_alternative<TransformerXl>(spec.position))
    layer.transformer_xl = TransformerXlLayer::declare(place, spec);
  if (std::holds_alternative<Disentangled>(spec.position))
    layer.disentangled = DisentangledLayer::declare(place, spec);
  return layer;
}

namespace {

// How many keys stand before a stream's own, by sequence.
Offsets before(Ctx& c, const Stream& stream, const LayerState* state) {
  if (const auto* kv = state ? std::get_if<KvState>(state) : nullptr) return kv->past;
  Offsets out(static_cast<size_t>(stream.sequences()), 0, c.pool);
  if (const auto* memory = state ? std::get_if<MemoryState>(state) : nullptr)
    for (size_t s = 0; s < out.size(); ++s) out[s] = (*memory->start)[s + 1] - (*memory->start)[s];
  return out;
}

// Rows [tokens, targets, memory] of keys or values as attention reads them: each sequence's memory,
// then its tokens.
Tensor in_order(Ctx& c, const Stream& stream, const MemoryState* memory, const Tensor& rows) {
  if (!memory) return slice(c, rows, 0, 0, stream.tokens());
  Ints index;
  const auto first = static_cast<int32_t>(stream.rows());
  for (size_t s = 0; s + 1 < stream.start.size(); ++s) {
    for (int32_t i = (*memory->start)[s]; i < (*memory->start)[s + 1]; ++i)
      index.push_back(first + i);
    for (int32_t i = stream.start[s]; i < stream.start[s + 1]; ++i) index.push_back(i);
  }
  return gather(c, rows, Tensor::from(c, index));
}

// Segments of queries and keys, where the batch names them; what stands before is of segment 0.
std::optional<SameSegment> segments(const Stream& stream, const Offsets& past, bool of_targets) {
  if (stream.types.empty()) return std::nullopt;
  SameSegment out;
  for (size_t s = 0; s < past.size(); ++s) {
    const auto begin = stream.types.begin() + stream.start[s];
    out.key.insert(out.key.end(), static_cast<size_t>(past[s]), 0);
    out.key.insert(out.key.end(), begin, stream.types.begin() + stream.start[s + 1]);
    for (int32_t i = 0; of_targets && i < stream.target_start[s + 1] - stream.target_start[s]; ++i)
      out.query.push_back(begin[stream.targets[static_cast<size_t>(stream.target_start[s] + i)]]);
  }
  if (!of_targets) out.query = stream.types;
  return out;
}

}  // namespace

Tensor AttentionLayer::operator()(Ctx& c, Pass& pass, const Tensor& x, LayerState* state) const {
  const Stream& stream = pass.stream();
  const auto* memory = state ? std::get_if<MemoryState>(state) : nullptr;
  const auto* kv = state ? std::get_if<KvState>(state) : nullptr;
  const bool has_targets = !stream.targets.empty();
  check(!memory || !std::holds_alternative<Rope>(spec.position),
        "[attention] memory has no rotation");
  const Pieces projected = qkv.parts(c, memory ? concat(c, {x, memory->hidden}, 0) : x);
  auto placed = [&](Tensor y, const std::optional<NormLayer>& norm) {
    if (norm) y = (*norm)(c, y);
    const auto* rotation = std::get_if<Rope>(&spec.position);
    return rotation ? rope(c, y, pass.rope(c, *rotation)) : y;
  };
  const int64_t tokens = stream.tokens(), rows = stream.rows();
  Tensor queries = placed(as_heads(c, projected[0], spec.heads, spec.head_size), q_norm);
  if (memory) queries = slice(c, queries, 0, 0, rows);
  Tensor keys = placed(as_heads(c, projected[1], spec.kv_heads, spec.head_size), k_norm);
  Tensor values = as_heads(c, projected[2], spec.kv_heads, spec.head_size);
  if (memory || has_targets) {
    keys = in_order(c, stream, memory, keys);
    values = in_order(c, stream, memory, values);
  }

  const Ints& prefix = stream.prefix;
  AttentionPlan plan{.q_start = {stream.start.begin(), stream.start.end(), c.pool},
                     .k_start = {stream.start.begin(), stream.start.end(), c.pool},
                     .mask = Mask(c.pool),
                     .scale = static_cast<float>(spec.scale),
                     .bias = PoolVector<BiasTerm>(c.pool)};
  if (spec.causal && !prefix.empty())
    plan.mask.push_back(Prefix{prefix});
  else if (spec.causal)
    plan.mask.push_back(Causal{});
  if (spec.window > 0)
    plan.mask.push_back(
        SlidingWindow{.left = spec.window - 1, .right = spec.causal ? -1 : spec.window - 1});
  if (const auto* relative = std::get_if<RelativeBuckets>(&spec.position))
    plan.bias.push_back(
        HeadTable{buckets->value,
                  T5Bucket{relative->bidirectional, relative->buckets, relative->max_distance}});
  plan.softcap = static_cast<float>(spec.softcap);
  if (sinks) plan.sink = sinks->value;
  const Offsets past = before(c, stream, state);
  int64_t longest = 0;
  for (size_t s = 0; s < past.size(); ++s) {
    const int32_t length = stream.start[s + 1] - stream.start[s] + past[s];
    if (memory) plan.k_start[s + 1] = plan.k_start[s] + length;
    longest = std::max<int64_t>(longest, length);
  }

  const Sight* sight = stream.seen || has_targets ? &pass.sight(c, past) : nullptr;
  TransformerXlLayer::Distances distances;
  if (transformer_xl) distances = transformer_xl->distances(c, pass, longest);
  // The answers to one stream's queries; `written`: the state has this batch's rows already.
  const auto ask = [&](Tensor q, AttentionPlan own, bool of_targets, bool written) {
    if (transformer_xl)
      q = transformer_xl->ask(c, pass, q, distances, segments(stream, past, of_targets), own);
    if (disentangled) disentangled->ask(c, q, keys, qkv, own);
    if (of_targets && sight->asks) {
      // Scores of zero all over.
      q = mul(c, q, sight->asks);
      for (BiasTerm& term : own.bias)
        if (std::holds_alternative<QueryRows>(term))
          term = with_values(term, mul(c, bias_values(term), sight->asks));
    }
    if (!kv) return attention(c, q, keys, values, own);
    return written ? attention(c, q, {}, {}, *kv, own) : attention(c, q, keys, values, *kv, own);
  };
  if (!sight) return out(c, side_by_side(c, ask(queries, plan, false, false)));

  AttentionPlan of_tokens = plan;
  if (sight->tokens) of_tokens.mask.push_back(*sight->tokens);
  Tensor mixed = ask(slice(c, queries, 0, 0, tokens), of_tokens, false, false);
  if (has_targets) {
    AttentionPlan of_targets = plan;
    if (sight->targets) of_targets.mask.push_back(*sight->targets);
    of_targets.q_start.assign(stream.target_start.begin(), stream.target_start.end());
    of_targets.q_position = sight->target_position;
    const Tensor asked = ask(slice(c, queries, 0, tokens, rows), of_targets, true, true);
    mixed = concat(c, {mixed, asked}, 0);
  }
  return out(c, side_by_side(c, mixed));
}

CrossAttentionLayer declare_cross(const Place& place, const Attention& spec) {
  const auto& [store, name, stack, width, std, out_std] = place;
  CrossAttentionLayer layer;
  layer.spec = spec;
  layer.q = Linear::declare(
      store, {{name + ".q", query_width(spec), spec.q_bias, query_start(spec)}}, width, std);
  layer.kv = Linear::declare(
      store,
      {{name + ".k", key_width(spec), spec.k_bias}, {name + ".v", key_width(spec), spec.v_bias}},
      width, std);
  layer.out =
      Linear::declare(store, {{name + ".out", width, spec.out_bias}}, query_width(spec), out_std);
  return layer;
}

Tensor CrossAttentionLayer::operator()(Ctx& c, Pass& pass, const Tensor& x,
                                       LayerState* state) const {
  const Tensor queries = as_heads(c, q(c, x), spec.heads, spec.head_size);
  const Source& source = pass.source();
  Tensor keys, values;
  if (source.hidden) {
    const Pieces projected = kv.parts(c, source.hidden);
    keys = as_heads(c, projected[0], spec.kv_heads, spec.head_size);
    values = as_heads(c, projected[1], spec.kv_heads, spec.head_size);
  }
  const Ints& start = pass.stream().start;
  const AttentionPlan plan{.q_start = {start.begin(), start.end(), c.pool},
                           .k_start = source.start,
                           .mask = Mask(c.pool),
                           .scale = static_cast<float>(spec.scale)};
  const Tensor mixed = state ? attention(c, queries, keys, values, std::get<KvState>(*state), plan)
                             : attention(c, queries, keys, values, plan);
  return out(c, side_by_side(c, mixed));
}

void add_state(const Attention& spec, DType kv, std::vector<StateSpec>& out) {
  out.push_back(KvSpec{{spec.kv_heads, spec.head_size, spec.head_size, kv}, spec.window});
}

void add_cross_state(const Attention& spec, DType kv, std::vector<StateSpec>& out) {
  out.push_back(SourceKvSpec{{spec.kv_heads, spec.head_size, spec.head_size, kv}});
}

bool is_causal(const Attention& spec) { return spec.causal; }

}  // namespace stemma
