#include "nn/feed_forward.h"

#include "ops/activation.h"
#include "ops/glu.h"

namespace stemma {

FeedForwardLayer FeedForwardLayer::declare(ParamStore& store, const std::string& name,
                                           const Ffn& spec, int64_t width, double std,
                                           double out_std) {
  FeedForwardLayer layer;
  layer.spec = spec;
  std::visit(
      [&](const auto& s) {
        std::vector<Linear::Part> parts;
        if constexpr (std::is_same_v<std::decay_t<decltype(s)>, Glu>)
          parts.push_back({name + ".gate", s.inner, s.bias});
        parts.push_back({name + ".up", s.inner, s.bias});
        layer.inner = Linear::declare(store, parts, width, std);
        layer.down = Linear::declare(store, {{name + ".down", width, s.bias}}, s.inner, out_std);
      },
      spec);
  return layer;
}

Tensor FeedForwardLayer::operator()(Ctx& c, const Tensor& x) const {
  const Activation act = std::visit([](const auto& s) { return s.act; }, spec);
  const bool gated = std::holds_alternative<Glu>(spec);
  return down(c, inner(c, x, {.activation = act, .gated = gated}));
}

}  // namespace stemma
