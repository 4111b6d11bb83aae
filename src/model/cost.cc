#include "model/cost.h"

#include <algorithm>

namespace stemma {
namespace {

// Query-key pairs of a sequence of n tokens.
double pairs(const Attention& attention, double n) {
  const double reach = attention.window > 0 ? std::min<double>(attention.window, n) : n;
  if (!attention.causal) return n * reach;
  return reach * (reach + 1) / 2 + (n - reach) * reach;
}

}  // namespace

ProductWeights product_weights(const Model& model) {
  ProductWeights w;
  for (const Parameter& p : model.params().all()) {
    if (p.shape.rank() < 2 || p.name.starts_with("embed.")) continue;
    (p.name.starts_with("heads.") ? w.head : w.body) += static_cast<double>(p.shape.elements());
  }
  const EmbedSpec& embed = model.spec().embed;
  if (model.spec().ties.lm_head)
    w.head += static_cast<double>(embed.vocab) * static_cast<double>(embed.width);
  return w;
}

double forward_flops(const Model& model, std::span<const int32_t> start, double answered) {
  const ProductWeights weights = product_weights(model);
  double sum = 2 * (weights.body * start.back() + weights.head * answered);
  for (const BlockSpec& block : model.spec().stack().blocks) {
    const auto& attention = std::get<Attention>(block.mixer);
    // Two products of head_size multiply-adds a pair and head.
    const double each = 4.0 * attention.heads * attention.head_size;
    for (size_t s = 0; s + 1 < start.size(); ++s)
      sum += each * pairs(attention, start[s + 1] - start[s]);
  }
  return sum;
}

}  // namespace stemma
