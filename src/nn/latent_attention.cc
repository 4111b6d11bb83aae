#include "nn/latent_attention.h"

#include "nn/adapter.h"
#include "ops/attention/attention.h"
#include "ops/grouped_linear.h"
#include "ops/primitives.h"

namespace stemma {
namespace {

// x [T,H,K] -> [T,H,N], each head through a weight of its own.
Tensor per_head(Ctx& c, const Tensor& x, const std::vector<const Weight*>& weights) {
  const int64_t tokens = x.extent(0), heads = x.extent(1), n = weights.front()->rows();
  Ints start{0};
  for (int64_t h = 0; h < heads; ++h) start.push_back(static_cast<int32_t>((h + 1) * tokens));
  const Tensor rows = reshape(c, permute(c, x, {1, 0, 2}), {heads * tokens, x.extent(2)});
  const Tensor y = grouped_linear(c, rows, weights, start);
  return permute(c, reshape(c, y, {heads, tokens, n}), {1, 0, 2});
}

}  // namespace

LatentAttentionLayer declare(const Place& place, const LatentAttention& spec) {
  const auto& [store, name, stack, width, std, out_std] = place;
  LatentAttentionLayer layer;
  layer.spec = spec;
  const Norm norm{NormKind::rms, spec.norm_eps};
  const int64_t shared = spec.position.width, queries = spec.heads * (spec.head_size + shared);
  const int64_t both = spec.head_size + spec.value_size;  // a head's rows of kv_b
  Linear::Part q = spec.q_rank > 0 ? Linear::Part{name + ".q_a", spec.q_rank, spec.bias}
                                   : Linear::Part{name + ".q", queries, false};
  layer.down =
      Linear::declare(store, {q, {name + ".kv_a", spec.kv_rank + shared, spec.bias}}, width, std);
  if (spec.q_rank > 0) {
    layer.q_norm = NormLayer::declare(store, name + ".q_norm", norm, spec.q_rank);
    layer.q_up = Linear::declare(store, {{name + ".q_b", queries, false}}, spec.q_rank, std);
  }
  layer.kv_norm = NormLayer::declare(store, name + ".kv_norm", norm, spec.kv_rank);
  layer.kv_up =
      Linear::declare(store, {{name + ".kv_b", spec.heads * both, false}}, spec.kv_rank, std);
  Weight::Slice rows = layer.kv_up.weight->slices().front();
  for (int64_t h = 0; h < spec.heads; ++h) {
    rows.name = cat(name, ".kv_b of head ", h);
    rows.first = h * both, rows.rows = spec.kv_rank, rows.transposed = true;
    Weight& keys = store.declare_weight(spec.head_size, {rows});
    rows.first += spec.head_size, rows.rows = spec.value_size, rows.transposed = false;
    Weight& values = store.declare_weight(spec.kv_rank, {rows});
    for (Weight* weight : {&keys, &values}) weight->refuse_adapters();
    layer.key_up.push_back(&keys), layer.value_up.push_back(&values);
  }
  layer.out = Linear::declare(store, {{name + ".out", width, spec.bias}},
                              spec.heads * spec.value_size, out_std);
  return layer;
}

Tensor LatentAttentionLayer::operator()(Ctx& c, Pass& pass, const Tensor& x,
                                        LayerState* state) const {
  const int64_t tokens = x.extent(0), shared = spec.position.width;
  const RopeTables& turns = pass.rope(c, spec.position);
  const Pieces low = down.parts(c, x);
  const Tensor q = q_up ? (*q_up)(c, (*q_norm)(c, low[0])) : low[0];
  const Pieces query = split(c, reshape(c, q, {tokens, spec.heads, spec.head_size + shared}), 2,
                             {spec.head_size, shared});
  const Tensor turned_query = rope(c, query[1], turns);
  const Pieces key = split(c, low[1], 1, {spec.kv_rank, shared});
  const Tensor latent = kv_norm(c, key[0]);
  const Tensor turned_key = rope(c, reshape(c, key[1], {tokens, 1, shared}), turns);  // [T,1,r]

  const Ints& start = pass.stream().start;
  AttentionPlan plan{.q_start = {start.begin(), start.end(), c.pool},
                     .k_start = {start.begin(), start.end(), c.pool},
                     .mask = Mask(c.pool),
                     .scale = static_cast<float>(spec.scale)};
  if (spec.causal) plan.mask.push_back(Causal{});
  Tensor mixed;  // [T,H,Dv]
  if (state) {
    check(!c.adapters || !c.adapters->reaches(*kv_up.weight), "[latent attention] an adapter of ",
          kv_up.weight->slices().front().name,
          " does not work with a state; save the model with the adapter merged");
    const Tensor values = reshape(c, latent, {tokens, 1, spec.kv_rank});
    const Tensor queries = concat(c, {per_head(c, query[0], key_up), turned_query}, 2);
    const Tensor keys = concat(c, {values, turned_key}, 2);
    mixed =
        per_head(c, attention(c, queries, keys, values, std::get<KvState>(*state), plan), value_up);
  } else {
    const Tensor up = reshape(c, kv_up(c, latent),
                              {tokens, spec.heads, int64_t{spec.head_size} + spec.value_size});
    const Pieces own = split(c, up, 2, {spec.head_size, spec.value_size});
    const Tensor queries = concat(c, {query[0], turned_query}, 2);
    const Tensor keys =
        concat(c, {own[0], broadcast_to(c, turned_key, {tokens, spec.heads, shared})}, 2);
    mixed = attention(c, queries, keys, own[1], plan);
  }
  return out(c, reshape(c, mixed, {tokens, int64_t{spec.heads} * spec.value_size}));
}

void add_state(const LatentAttention& spec, DType kv, std::vector<StateSpec>& out) {
  out.push_back(KvSpec{{1, int64_t{spec.kv_rank} + spec.position.width, spec.kv_rank, kv}, 0});
}

bool is_causal(const LatentAttention& spec) { return spec.causal; }

}  // namespace stemma
