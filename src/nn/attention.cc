#include "nn/attention.h"

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

}  // namespace

AttentionLayer declare(const Place& place, const Attention& spec) {
  const auto& [store, name, stack, width, std, out_std] = place;
  AttentionLayer layer;
  layer.spec = spec;
  layer.qkv = Linear::declare(store,
                              {{name + ".q", query_width(spec), spec.q_bias},
                               {name + ".k", key_width(spec), spec.k_bias},
                               {name + ".v", key_width(spec), spec.v_bias}},
                              width, std);
  layer.out =
      Linear::declare(store, {{name + ".out", width, spec.out_bias}}, query_width(spec), out_std);
  if (spec.qk_norm) {
    layer.q_norm = NormLayer::declare(store, name + ".q_norm", *spec.qk_norm, spec.head_size);
    layer.k_norm = NormLayer::declare(store, name + ".k_norm", *spec.qk_norm, spec.head_size);
  }
  if (const auto* relative = std::get_if<RelativeBuckets>(&spec.position)) {
    const std::string table = relative->shared ? stack + "buckets" : name + ".buckets";
    layer.buckets = store.find(table);
    if (!layer.buckets)
      layer.buckets =
          &store.declare(table, {relative->buckets, spec.heads}, Init::normal(place.std));
    layer.buckets->widened = true;
  }
  return layer;
}

Tensor AttentionLayer::operator()(Ctx& c, Pass& pass, const Tensor& x, LayerState* state) const {
  const Pieces projected = qkv.parts(c, x);
  auto placed = [&](Tensor y, const std::optional<NormLayer>& norm) {
    if (norm) y = (*norm)(c, y);
    const auto* rotation = std::get_if<Rope>(&spec.position);
    return rotation ? rope(c, y, pass.rope(c, *rotation)) : y;
  };
  const Tensor queries = placed(as_heads(c, projected[0], spec.heads, spec.head_size), q_norm);
  const Tensor keys = placed(as_heads(c, projected[1], spec.kv_heads, spec.head_size), k_norm);
  const Tensor values = as_heads(c, projected[2], spec.kv_heads, spec.head_size);

  const Ints &start = pass.stream().start, &prefix = pass.stream().prefix;
  AttentionPlan plan{.q_start = {start.begin(), start.end(), c.pool},
                     .k_start = {start.begin(), start.end(), c.pool},
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
  const Tensor mixed = state ? attention(c, queries, keys, values, std::get<KvState>(*state), plan)
                             : attention(c, queries, keys, values, plan);
  return out(c, side_by_side(c, mixed));
}

CrossAttentionLayer declare_cross(const Place& place, const Attention& spec) {
  const auto& [store, name, stack, width, std, out_std] = place;
  CrossAttentionLayer layer;
  layer.spec = spec;
  layer.q = Linear::declare(store, {{name + ".q", query_width(spec), spec.q_bias}}, width, std);
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
