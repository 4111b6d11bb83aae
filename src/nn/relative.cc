#include "nn/relative.h"

#include <algorithm>
#include <cmath>

#include "ops/head_products.h"
#include "ops/primitives.h"
#include "tensor/mapped.h"

namespace stemma {
namespace {

Tensor as_heads(Ctx& c, const Tensor& x, int heads, int head_size) {
  return reshape(c, x, {x.extent(0), heads, head_size});
}

// A table belongs to all sequences: what adapters add to its projections they must agree upon.
class OfAll {
 public:
  OfAll(const Ctx& c, int64_t rows) : c_(c) {
    if (!c.adapters) return;
    rows_.emplace(c.adapters->of_all(rows));
    c_.adapters = &*rows_;
  }
  Ctx& ctx() { return c_; }

 private:
  Ctx c_;
  std::optional<AdapterRows> rows_;
};

}  // namespace

TransformerXlLayer TransformerXlLayer::declare(const Place& place, const Attention& spec) {
  auto& store = place.store;
  const Shape shape{spec.heads, spec.head_size};
  const auto vector = [&](const char* name) {
    return &store.declare(place.name + name, shape, Init::normal(place.std));
  };
  TransformerXlLayer layer;
  layer.spec = std::get<TransformerXl>(spec.position);
  layer.heads = spec.heads, layer.head_size = spec.head_size;
  layer.causal = spec.causal;
  const int64_t width = int64_t{spec.heads} * spec.head_size;
  layer.r = Linear::declare(store, {{place.name + ".r", width, false}}, place.width, place.std);
  layer.u = vector(".u"), layer.v = vector(".v"), layer.s = vector(".s");
  layer.segments = &store.declare(place.name + ".segments", {2, spec.heads, spec.head_size},
                                  Init::normal(place.std));
  return layer;
}

TransformerXlLayer::Distances TransformerXlLayer::distances(Ctx& c, Pass& pass,
                                                            int64_t longest) const {
  auto most = static_cast<int>(longest) - 1;
  if (spec.clamp > 0) most = std::min(most, spec.clamp);
  Distances out;
  out.low = causal ? 0 : -most, out.high = most;
  OfAll all(c, most - out.low + 1);
  const auto of = [&](bool reversed) {
    const Tensor table = pass.sinusoids(c, out.low, out.high, r.weight->width(), reversed);
    return as_heads(c, r(all.ctx(), table), heads, head_size);
  };
  out.along = of(false);
  const auto& reversed = pass.stream().reversed;
  if (std::ranges::find(reversed, 1) != reversed.end()) out.reversed = of(true);
  return out;
}

Tensor TransformerXlLayer::ask(Ctx& c, const Pass& pass, const Tensor& q,
                               const Distances& distances, const std::optional<SameSegment>& same,
                               AttentionPlan& plan) const {
  const auto asks = [&](const Parameter* bias) {
    return mul(c, add(c, q, to_f32(c, bias->value)), static_cast<double>(plan.scale));
  };
  Tensor position = head_products(c, asks(v), distances.along);
  if (distances.reversed) {
    const Tensor back = Tensor::zeros(c, {q.extent(0), 1, 1});
    for (size_t s = 0; s + 1 < plan.q_start.size(); ++s)
      std::fill(back.data<float>() + plan.q_start[s], back.data<float>() + plan.q_start[s + 1],
                static_cast<float>(pass.stream().reversed[s]));
    position = where(c, back, head_products(c, asks(v), distances.reversed), position);
  }
  plan.bias.push_back(QueryRows{position, Distance{distances.low, distances.high}});
  if (same)
    plan.bias.push_back(QueryRows{head_products(c, asks(s), to_f32(c, segments->value)), *same});
  return add(c, q, to_f32(c, u->value));
}

DisentangledLayer DisentangledLayer::declare(const Place& place, const Attention& spec) {
  check(spec.kv_heads == spec.heads, "[attention] disentangled positions with ", spec.kv_heads,
        " key heads of ", spec.heads, "; they need one for each");
  auto& store = place.store;
  DisentangledLayer layer;
  layer.spec = std::get<Disentangled>(spec.position);
  layer.heads = spec.heads, layer.head_size = spec.head_size;
  const std::string table = place.stack + "distances", norm = place.stack + "distances_norm";
  layer.table = store.find(table);
  const bool first = layer.table == nullptr;
  if (first)
    layer.table =
        &store.declare(table, {2 * layer.spec.reach, place.width}, Init::normal(place.std));
  if (layer.spec.norm && first)
    layer.norm = NormLayer::declare(store, norm, *layer.spec.norm, place.width);
  else if (layer.spec.norm)
    layer.norm =
        NormLayer{*layer.spec.norm, store.find(norm + ".weight"), store.find(norm + ".bias")};
  if (layer.spec.shared) return layer;
  const auto own = [&](const char* name, bool bias) {
    return Linear::declare(store, {{place.name + name, int64_t{spec.heads} * spec.head_size, bias}},
                           place.width, place.std);
  };
  if (layer.spec.content_to_position) layer.k = own(".distance_k", layer.spec.k_bias);
  if (layer.spec.position_to_content) layer.q = own(".distance_q", layer.spec.q_bias);
  return layer;
}

void DisentangledLayer::ask(Ctx& c, const Tensor& content_q, const Tensor& content_k,
                            const Linear& content, AttentionPlan& plan) const {
  Tensor rows = to_f32(c, table->value);
  if (norm) rows = (*norm)(c, rows);
  OfAll all(c, rows.extent(0));
  Tensor positions_q, positions_k;
  if (spec.shared) {
    const Pieces projected = content.parts(all.ctx(), rows);
    positions_q = projected[0], positions_k = projected[1];
  } else {
    if (q) positions_q = (*q)(all.ctx(), rows);
    if (k) positions_k = (*k)(all.ctx(), rows);
  }
  BiasIndex index = Distance{-spec.reach, spec.reach - 1};
  if (spec.max_distance > 0) index = LogBucket{spec.reach, spec.max_distance};
  const auto terms = [&](const Tensor& x, const Tensor& positions) {
    const Tensor scaled =
        mul(c, as_heads(c, positions, heads, head_size), static_cast<double>(plan.scale));
    return head_products(c, x, scaled);
  };
  if (spec.content_to_position)
    plan.bias.push_back(QueryRows{terms(content_q, positions_k), index});
  if (spec.position_to_content) plan.bias.push_back(KeyRows{terms(content_k, positions_q), index});
}

}  // namespace stemma
