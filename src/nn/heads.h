// Heads: what turns the last hidden states into an answer.
#pragma once

#include <optional>
#include <variant>

#include "nn/batch.h"
#include "nn/layers.h"

namespace stemma {

// act(W x + b) of each sequence's first or last row: [T,C] -> [S,C].
struct PoolerLayer {
  Pooler spec;
  Linear dense;
  static PoolerLayer declare(ParamStore& store, const Pooler& spec, int64_t width, double std);
  Tensor operator()(Ctx& c, const Batch& batch, const Tensor& hidden) const;
};

struct TransformLayer {
  Activation act = Activation::gelu;
  Linear dense;
  NormLayer norm;
  // The parameters are NAME.transform.{weight,bias} and NAME.norm.{weight,bias}.
  static TransformLayer declare(ParamStore& store, const std::string& name, const Transform& spec,
                                int64_t width, double std);
  Tensor operator()(Ctx& c, const Tensor& x) const;
};

// [R,C] -> [R,V] for any selection of rows.
struct LmHeadLayer {
  LmHead spec;
  std::optional<TransformLayer> transform;
  Linear decoder;

  // `tied` is the token embedding where the head shares it, null where it has a matrix of its own.
  static LmHeadLayer declare(ParamStore& store, const LmHead& spec, int64_t width, int64_t vocab,
                             Parameter* tied, double std);
  Tensor logits(Ctx& c, const Tensor& rows) const;
  // Per-row negative log-likelihood of `labels` [R] (negative: 0), without the logits of all rows
  // in memory at once.
  Tensor loss(Ctx& c, const Tensor& rows, const Tensor& labels) const;

 private:
  Tensor transformed(Ctx& c, const Tensor& rows) const;
  Tensor capped(Ctx& c, const Tensor& logits) const;
};

// Class logits: of every token [T,labels], or of each sequence [S,labels].
struct ClassifierLayer {
  Classifier spec;
  std::optional<TransformLayer> transform;
  Linear dense;
  static ClassifierLayer declare(ParamStore& store, const Classifier& spec, int64_t width,
                                 double std);
  Tensor operator()(Ctx& c, const Batch& batch, const Tensor& hidden, const Tensor& pooled) const;
};

// Start and end logits of each token: [T,C] -> [T,2].
struct SpanHeadLayer {
  std::optional<TransformLayer> transform;
  Linear dense;
  static SpanHeadLayer declare(ParamStore& store, const SpanHead& spec, int64_t width, double std);
  Tensor operator()(Ctx& c, const Tensor& hidden) const;
};

// Whether each token was replaced: [T,C] -> logits [T].
struct ReplacedHeadLayer {
  ReplacedHead spec;
  NormLayer norm;
  Linear dense, classifier;
  static ReplacedHeadLayer declare(ParamStore& store, const ReplacedHead& spec, int64_t width,
                                   double std);
  Tensor operator()(Ctx& c, const Batch& batch, const Tensor& hidden) const;
};

using HeadLayer =
    std::variant<PoolerLayer, LmHeadLayer, ClassifierLayer, SpanHeadLayer, ReplacedHeadLayer>;

}  // namespace stemma
