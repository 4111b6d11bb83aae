// Relative positions that ask with queries of their own: what they learn, and what they add to the
// scores of attention (ops/attention/bias.h): those of Transformer-XL and the disentangled ones.
// The sources stand at their specs.
#pragma once

#include <optional>
#include <vector>

#include "nn/layers.h"
#include "nn/pass.h"
#include "ops/attention/attention.h"

namespace stemma {

struct TransformerXlLayer {
  TransformerXl spec;
  int heads = 0, head_size = 0;
  bool causal = false;
  Linear r;                                            // W
  Parameter *u = nullptr, *v = nullptr, *s = nullptr;  // [H,D]
  Parameter* segments = nullptr;                       // [2,H,D]: of one segment, of two

  static TransformerXlLayer declare(const Place& place, const Attention& spec);

  // W R(d) of every distance among `longest` keys, [N,H,D]; `reversed`: W R(-d), for sequences that
  // run backwards, where there are any.
  struct Distances {
    int low = 0, high = 0;
    Tensor along, reversed;
  };
  Distances distances(Ctx& c, Pass& pass, int64_t longest) const;
  // One stream's queries q [n,H,D]; returns those that ask for content, and adds the other terms to
  // the plan, whose offsets and scale are set. `segments` are of the queries and of the keys.
  Tensor ask(Ctx& c, const Pass& pass, const Tensor& q, const Distances& distances,
             const std::optional<SameSegment>& same, AttentionPlan& plan) const;
};

struct DisentangledLayer {
  Disentangled spec;
  int heads = 0, head_size = 0;
  Parameter* table = nullptr;  // [2 reach, C]
  std::optional<NormLayer> norm;
  std::optional<Linear> k, q;  // absent where they are the content's, or nobody asks

  static DisentangledLayer declare(const Place& place, const Attention& spec);
  // Adds the terms to the plan, whose scale is set. q [Tq,H,D] and k [Tk,H,D] are the content's;
  // `content` is its projection of rows to q, k and v.
  void ask(Ctx& c, const Tensor& q, const Tensor& k, const Linear& content,
           AttentionPlan& plan) const;
};

}  // namespace stemma
