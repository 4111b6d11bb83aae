#include "nn/heads.h"

#include "ops/activation.h"
#include "ops/cross_entropy.h"
#include "ops/pooling.h"
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

std::optional<TransformLayer> declare_transform(ParamStore& store, const std::string& name,
                                                const std::optional<Transform>& spec, int64_t width,
                                                double std) {
  if (!spec) return std::nullopt;
  return TransformLayer::declare(store, name, *spec, width, std);
}

}  // namespace

PoolerLayer PoolerLayer::declare(ParamStore& store, const Pooler& spec, int64_t width, double std) {
  return {spec, Linear::declare(store, {{"heads.pooler", width, true}}, width, std)};
}

Tensor PoolerLayer::operator()(Ctx& c, const Batch& batch, const Tensor& hidden) const {
  const Scope scope(c, "heads.pooler");
  return activation(c, dense(c, end_rows(c, batch, hidden, spec.last)), spec.act);
}

TransformLayer TransformLayer::declare(ParamStore& store, const std::string& name,
                                       const Transform& spec, int64_t width, double std) {
  const int64_t inner = spec.width > 0 ? spec.width : width;
  return {spec.act, Linear::declare(store, {{name + ".transform", inner, spec.bias}}, width, std),
          NormLayer::declare(store, name + ".norm", spec.norm, inner)};
}

Tensor TransformLayer::operator()(Ctx& c, const Tensor& x) const {
  return norm(c, activation(c, dense(c, x), act));
}

LmHeadLayer LmHeadLayer::declare(ParamStore& store, const LmHead& spec, int64_t width,
                                 int64_t vocab, Parameter* tied, double std) {
  LmHeadLayer head;
  head.spec = spec;
  head.transform = declare_transform(store, "heads.lm", spec.transform, width, std);
  if (spec.transform && spec.transform->width > 0) width = spec.transform->width;
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
  const Tensor x = transform ? (*transform)(c, rows) : rows;
  return spec.scale == 1 ? x : mul(c, x, spec.scale);
}

Tensor LmHeadLayer::logits(Ctx& c, const Tensor& rows) const {
  const Scope scope(c, "heads.lm");
  return capped(c, decoder(c, transformed(c, rows)));
}

Tensor LmHeadLayer::capped(Ctx& c, const Tensor& logits) const {
  if (spec.softcap == 0) return logits;
  return mul(c, tanh(c, mul(c, logits, 1 / spec.softcap)), spec.softcap);
}

Tensor LmHeadLayer::loss(Ctx& c, const Tensor& rows, const Tensor& labels) const {
  const Scope scope(c, "heads.lm");
  if (spec.softcap != 0)
    return cross_entropy(c, capped(c, decoder(c, transformed(c, rows))), labels);
  return linear_cross_entropy(c, transformed(c, rows), *decoder.weight, labels);
}

ClassifierLayer ClassifierLayer::declare(ParamStore& store, const Classifier& spec, int64_t width,
                                         double std) {
  const std::string name = "heads." + spec.name;
  return {spec, declare_transform(store, name, spec.transform, width, std),
          Linear::declare(store, {{name, spec.labels, spec.bias}}, width, std)};
}

Tensor ClassifierLayer::operator()(Ctx& c, const Batch& batch, const Tensor& hidden,
                                   const Tensor& pooled) const {
  const Scope scope(c, "heads.", spec.name);
  Tensor x = pooled;
  switch (spec.reads) {
    case Reads::pooled:
      check(static_cast<bool>(pooled), "[head] ", spec.name,
            " reads pooled vectors and the model has no pooler");
      break;
    case Reads::tokens:
      x = hidden;
      break;
    case Reads::last_token:
      x = end_rows(c, batch, hidden, true);
      break;
    case Reads::first_token:
      x = end_rows(c, batch, hidden, false);
      break;
    case Reads::mean:
      x = pool(c, hidden, batch.main.start, Pooling::mean);
      break;
  }
  return dense(c, transform ? (*transform)(c, x) : x);
}

SpanHeadLayer SpanHeadLayer::declare(ParamStore& store, const SpanHead& spec, int64_t width,
                                     double std) {
  return {declare_transform(store, "heads.span", spec.transform, width, std),
          Linear::declare(store, {{"heads.span", 2, true}}, width, std)};
}

Tensor SpanHeadLayer::operator()(Ctx& c, const Tensor& hidden) const {
  const Scope scope(c, "heads.span");
  return dense(c, transform ? (*transform)(c, hidden) : hidden);
}

ReplacedHeadLayer ReplacedHeadLayer::declare(ParamStore& store, const ReplacedHead& spec,
                                             int64_t width, double std) {
  const std::string name = "heads.replaced";
  return {spec, NormLayer::declare(store, name + ".norm", spec.norm, width),
          Linear::declare(store, {{name + ".dense", width, true}}, width, std),
          Linear::declare(store, {{name + ".classifier", 1, true}}, width, std)};
}

Tensor ReplacedHeadLayer::operator()(Ctx& c, const Batch& batch, const Tensor& hidden) const {
  const Scope scope(c, "heads.replaced");
  Ints firsts;
  for (int s = 0; s < batch.main.sequences(); ++s) {
    const auto i = static_cast<size_t>(s);
    firsts.insert(firsts.end(), static_cast<size_t>(batch.main.start[i + 1] - batch.main.start[i]),
                  batch.main.start[i]);
  }
  Residual both{hidden, gather(c, hidden, Tensor::from(c, firsts))};
  const Tensor x = activation(c, dense(c, norm.absorb(c, both)), spec.act);
  return reshape(c, classifier(c, x), {hidden.extent(0)});
}

}  // namespace stemma
