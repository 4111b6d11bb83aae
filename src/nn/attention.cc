#include "nn/attention.h"

#include "ops/attention/attention.h"
#include "ops/primitives.h"

namespace stemma {

AttentionLayer AttentionLayer::declare(ParamStore& store, const std::string& name,
                                       const Attention& spec, int64_t width, double std,
                                       double out_std) {
  AttentionLayer layer;
  layer.spec = spec;
  const int64_t queries = int64_t{spec.heads} * spec.head_size;
  const int64_t keys = int64_t{spec.kv_heads} * spec.head_size;
  layer.qkv = Linear::declare(store,
                              {{name + ".q", queries, spec.q_bias},
                               {name + ".k", keys, spec.k_bias},
                               {name + ".v", keys, spec.v_bias}},
                              width, std);
  layer.out = Linear::declare(store, {{name + ".out", width, spec.out_bias}}, queries, out_std);
  if (spec.qk_norm) {
    layer.q_norm = NormLayer::declare(store, name + ".q_norm", *spec.qk_norm, spec.head_size);
    layer.k_norm = NormLayer::declare(store, name + ".k_norm", *spec.qk_norm, spec.head_size);
  }
  return layer;
}

Tensor AttentionLayer::operator()(Ctx& c, Pass& pass, const Tensor& x, KvState* state) const {
  const int64_t tokens = x.extent(0);
  const Pieces projected = qkv.parts(c, x);
  auto heads_of = [&](size_t part, int heads) {
    return reshape(c, projected[part], {tokens, heads, spec.head_size});
  };
  auto placed = [&](Tensor y, const std::optional<NormLayer>& norm) {
    if (norm) y = (*norm)(c, y);
    const auto* rotation = std::get_if<Rope>(&spec.position);
    return rotation ? rope(c, y, pass.rope(c, *rotation)) : y;
  };
  const Tensor queries = placed(heads_of(0, spec.heads), q_norm);
  const Tensor keys = placed(heads_of(1, spec.kv_heads), k_norm);
  const Tensor values = heads_of(2, spec.kv_heads);

  const Ints& start = pass.batch().main.start;
  AttentionPlan plan{.q_start = {start.begin(), start.end(), c.pool},
                     .k_start = {start.begin(), start.end(), c.pool},
                     .mask = Mask(c.pool),
                     .scale = static_cast<float>(spec.scale)};
  if (spec.causal) plan.mask.push_back(Causal{});
  if (spec.window > 0) plan.mask.push_back(SlidingWindow{.left = spec.window - 1});
  const Tensor mixed = state ? attention(c, pass.batch(), queries, keys, values, *state, plan)
                             : attention(c, queries, keys, values, plan);
  return out(c, reshape(c, mixed, {tokens, int64_t{spec.heads} * spec.head_size}));
}

}  // namespace stemma
