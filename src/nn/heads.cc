#include "nn/heads.h"

#include "ops/activation.h"
#include "ops/cross_entropy.h"
#include "ops/primitives.h"
#include "tensor/recorder.h"

namespace stemma {
namespace {

// The first row of each sequence, or the last.
Tensor end_rows(Ctx& c, const Batch& batch, const Tensor& hidden, bool last) {
  Ints rows;
  for (int s = 0; s < batch.main.sequences(); ++s) {
    const auto i = static_cast<size_t>(s);
    const int32_t begin = batch.main.start[i], end = batch.main.start[i + 1];
    check(end > begin, "[head] sequence ", s, " of the batch is empty");
    rows.push_back(last ? end - 1 : begin);
  }
  return gather(c, hidden, Tensor::from(c, rows));
}

}  // namespace

PoolerLayer PoolerLayer::declare(ParamStore& store, const Pooler& spec, int64_t width, double std) {
  return {spec, Linear::declare(store, {{"heads.pooler", width, true}}, width, std)};
}

Tensor PoolerLayer::operator()(Ctx& c, const Batch& batch, const Tensor& hidden) const {
  const Scope scope(c, "heads.pooler");
  return activation(c, dense(c, end_rows(c, batch, hidden, false)), spec.act);
}

LmHeadLayer LmHeadLayer::declare(ParamStore& store, const LmHead& spec, int64_t width,
                                 int64_t vocab, Parameter* tied, double std) {
  LmHeadLayer head;
  head.spec = spec;
  if (spec.transform) {
    const int64_t inner = spec.transform->width > 0 ? spec.transform->width : width;
    head.dense =
        Linear::declare(store, {{"heads.lm.transform", inner, spec.transform->bias}}, width, std);
    head.norm = NormLayer::declare(store, "heads.lm.norm", spec.transform->norm, inner);
    width = inner;
  }
  const std::string name = "heads.lm.decoder";
  const Parameter* matrix =
      tied ? tied : &store.declare(name + ".weight", {vocab, width}, Init::normal(std));
  const Parameter* bias =
      spec.bias ? &store.declare(name + ".bias", {vocab}, Init::constant(0)) : nullptr;
  head.decoder.weight =
      &store.declare_weight(width, {{name, vocab, &matrix->value, bias ? &bias->value : nullptr}});
  return head;
}

Tensor LmHeadLayer::transformed(Ctx& c, const Tensor& rows) const {
  Tensor x = rows;
  if (spec.transform) x = (*norm)(c, activation(c, (*dense)(c, rows), spec.transform->act));
  return spec.scale == 1 ? x : mul(c, x, spec.scale);
}

Tensor LmHeadLayer::logits(Ctx& c, const Tensor& rows) const {
  const Scope scope(c, "heads.lm");
  return decoder(c, transformed(c, rows));
}

Tensor LmHeadLayer::loss(Ctx& c, const Tensor& rows, const Tensor& labels) const {
  const Scope scope(c, "heads.lm");
  return linear_cross_entropy(c, transformed(c, rows), *decoder.weight, labels);
}

ClassifierLayer ClassifierLayer::declare(ParamStore& store, const Classifier& spec, int64_t width,
                                         double std) {
  return {spec,
          Linear::declare(store, {{"heads." + spec.name, spec.labels, spec.bias}}, width, std)};
}

Tensor ClassifierLayer::operator()(Ctx& c, const Batch& batch, const Tensor& hidden,
                                   const Tensor& pooled) const {
  const Scope scope(c, "heads.", spec.name);
  switch (spec.reads) {
    case Reads::pooled:
      check(static_cast<bool>(pooled), "[head] ", spec.name,
            " reads pooled vectors and the model has no pooler");
      return dense(c, pooled);
    case Reads::tokens:
      return dense(c, hidden);
    case Reads::last_token:
      return dense(c, end_rows(c, batch, hidden, true));
  }
  return {};
}

SpanHeadLayer SpanHeadLayer::declare(ParamStore& store, int64_t width, double std) {
  return {Linear::declare(store, {{"heads.span", 2, true}}, width, std)};
}

Tensor SpanHeadLayer::operator()(Ctx& c, const Tensor& hidden) const {
  const Scope scope(c, "heads.span");
  return dense(c, hidden);
}

}  // namespace stemma
