#include "model/cost.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>

namespace stemma {
namespace {

// Query-key pairs of a sequence of n tokens.
double pairs(const Attention& attention, double n) {
  const double reach = attention.window > 0 ? std::min<double>(attention.window, n) : n;
  if (!attention.causal) return n * std::min(n, attention.window > 0 ? 2 * reach - 1 : reach);
  return reach * (reach + 1) / 2 + (n - reach) * reach;
}

// What a mixer multiplies beside its weights, for a sequence of n tokens.
double mixing_flops(const Attention& attention, double n) {
  // Two products of head_size multiply-adds a pair and head.
  return 4.0 * attention.heads * attention.head_size * pairs(attention, n);
}

// A scan keeps, adds and reads each number of its state.
double mixing_flops(const Selective& mixer, double n) {
  return 6.0 * mixer.inner * mixer.state * n;
}
double mixing_flops(const Ssd& mixer, double n) {
  return 6.0 * mixer.heads * mixer.head_size * mixer.state * n;
}

double mixing_flops(const LatentAttention& attention, double n) {
  const double key = attention.head_size + attention.position.width;
  return 2 * attention.heads * (key + attention.value_size) *
         (attention.causal ? n * (n + 1) / 2 : n * n);
}

double mixing_flops(const Wkv& mixer, double n) { return 8.0 * mixer.inner * n; }
double mixing_flops(const ChannelMix&, double) { return 0; }
double mixing_flops(const S4& mixer, double n) { return 8.0 * mixer.channels * mixer.state * n; }
// Each token is a step of gradient descent: the inner model forward, and twice backward.
double mixing_flops(const Ttt& mixer, double n) {
  return (mixer.mlp ? 48.0 : 6.0) * mixer.heads * mixer.head_size * mixer.head_size * n;
}
double mixing_flops(const Lstm& mixer, double n) {
  return (mixer.bidirectional ? 2 : 1) * 12.0 * mixer.cells * n;
}

// How often a token goes through the parameter `name` of a stack's block.
double uses(const ModelSpec& spec, const std::string& name) {
  for (const auto& [prefix, stack] :
       {std::pair{"encoder.", &spec.encoder}, std::pair{"decoder.", &spec.decoder}}) {
    const char* number = name.c_str() + std::strlen(prefix);
    if (!*stack || !name.starts_with(prefix) || !std::isdigit(*number)) continue;
    const auto block = static_cast<size_t>(std::atoi(number));
    double times = 0;
    for (size_t e = 0; e < (*stack)->executions(); ++e) times += (*stack)->block_of(e) == block;
    const auto* experts = std::get_if<Experts>(&(*stack)->blocks[block].ffn);
    if (experts && name.find(".ffn.experts.") != std::string::npos)
      times *= static_cast<double>(experts->routing.chosen) / experts->routing.experts;
    return times;
  }
  return 1;
}

}  // namespace

ProductWeights product_weights(const Model& model) {
  ProductWeights w;
  for (const Parameter& p : model.params().all()) {
    if (p.shape.rank() < 2 || p.name.starts_with("embed.") || p.name.starts_with(kMultiToken))
      continue;
    const bool of_source =
        model.spec().reads_source() &&
        (p.name.starts_with("encoder.") || p.name.find(".cross.k") != std::string::npos ||
         p.name.find(".cross.v") != std::string::npos);
    (p.name.starts_with("heads.") ? w.head
     : of_source                  ? w.source
                 : w.body) += uses(model.spec(), p.name) * static_cast<double>(p.shape.elements());
  }
  const EmbedSpec& embed = model.spec().embed;
  if (model.spec().ties.lm_head)
    w.head += static_cast<double>(embed.vocab) * static_cast<double>(embed.width);
  return w;
}

double forward_flops(const Model& model, std::span<const int32_t> start, double answered,
                     std::span<const int32_t> source_start) {
  const ProductWeights weights = product_weights(model);
  double sum = 2 * (weights.body * start.back() + weights.head * answered);
  // `reads` tells how many keys cross attention sees from the s-th sequence.
  const auto mix = [&](const StackSpec& stack, std::span<const int32_t> at, auto&& reads) {
    for (size_t e = 0; e < stack.executions(); ++e) {
      const BlockSpec& block = stack.blocks[stack.block_of(e)];
      for (size_t s = 0; s + 1 < at.size(); ++s) {
        const double n = at[s + 1] - at[s];
        sum += std::visit([&](const auto& mixer) { return mixing_flops(mixer, n); }, block.mixer);
        if (block.cross) sum += 4.0 * block.cross->heads * block.cross->head_size * n * reads(s);
      }
    }
  };
  const auto source_length = [&](size_t s) {
    return source_start.empty() ? 0.0 : static_cast<double>(source_start[s + 1] - source_start[s]);
  };
  mix(model.spec().stack(), start, source_length);
  if (!source_start.empty()) {
    sum += 2 * weights.source * source_start.back();
    mix(*model.spec().encoder, source_start, [](size_t) { return 0.0; });
  }
  return sum;
}

}  // namespace stemma
