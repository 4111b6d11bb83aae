#include "nn/embedding.h"

#include "ops/embedding.h"
#include "ops/primitives.h"
#include "tensor/mapped.h"

namespace stemma {

EmbeddingLayer EmbeddingLayer::declare(ParamStore& store, const std::string& name,
                                       const EmbedSpec& spec, double model_std) {
  EmbeddingLayer layer;
  const double std = spec.init_std > 0 ? spec.init_std : model_std;
  layer.spec = spec;
  const int64_t width = spec.inner > 0 ? spec.inner : spec.width;  // of the tables
  const auto table = [&](const std::string& of, int64_t rows, Parameter*& base) {
    if (spec.base)
      base = &store.declare(of + ".base", {rows, width}, Init::normal(std), Role::frozen);
    return &store.declare(of, {rows, width}, spec.base ? Init::constant(0) : Init::normal(std));
  };
  layer.tokens = table(name + ".tokens", spec.vocab, layer.base_tokens);
  if (const auto* learned = std::get_if<LearnedPositions>(&spec.position))
    layer.positions = table(name + ".positions", learned->rows, layer.base_positions);
  if (spec.types > 0)
    layer.types = &store.declare(name + ".types", {spec.types, width}, Init::normal(std));
  if (spec.norm) layer.norm = NormLayer::declare(store, name + ".norm", *spec.norm, width);
  if (spec.query)
    layer.query = &store.declare(name + ".query", {1, 1, spec.width}, Init::normal(std));
  if (spec.inner > 0)
    layer.projection =
        Linear::declare(store, {{name + ".projection", spec.width, true}}, width, std);
  return layer;
}

Tensor EmbeddingLayer::operator()(Ctx& c, Pass& pass) const {
  const Stream& stream = pass.stream();
  const auto rows = [&](const Parameter* table, const Parameter* base, const Ints& ids,
                        int padding) {
    const Tensor index = Tensor::from(c, ids);
    const Tensor own = embedding(c, table->value, index, padding);
    return base ? add(c, embedding(c, base->value, index), own) : own;
  };
  Residual sum{rows(tokens, base_tokens, stream.ids, spec.padding_id), {}};
  if (spec.scale != 1) sum.x = mul(c, sum.x, spec.scale);
  if (types) {
    const Tensor ids = stream.types.empty() ? Tensor::zeros(c, {stream.tokens()}, DType::i32)
                                            : Tensor::from(c, stream.types);
    sum = {add(c, sum.x, embedding(c, types->value, ids)), {}};
  }
  if (positions) {
    for (int32_t p : stream.positions)
      check(p < positions->shape[0], "[embedding] position ", p, " is beyond the table of ",
            positions->shape[0],
            " positions: shorten the text or use a model with a longer context");
    sum.delta = rows(positions, base_positions, stream.positions, -1);
  }
  Tensor x = norm ? norm->absorb(c, sum) : sum.value(c);
  if (projection) x = (*projection)(c, x);
  if (stream.targets.empty()) return x;
  check(query, "[embedding] the model has no vector for tokens that are predicted unseen");
  const auto targets = static_cast<int64_t>(stream.targets.size());
  return concat(c,
                {x, broadcast_to(c, reshape(c, to_f32(c, query->value), {spec.width}),
                                 {targets, spec.width})},
                0);
}

}  // namespace stemma
