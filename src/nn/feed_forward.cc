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
        if constexpr (std::is_same_v<std::decay_t<decltype(s)>, Glu>)
          layer.gate = Linear::declare(store, name + ".gate", s.inner, width, s.bias, std);
        layer.up = Linear::declare(store, name + ".up", s.inner, width, s.bias, std);
        layer.down = Linear::declare(store, name + ".down", width, s.inner, s.bias, out_std);
      },
      spec);
  return layer;
}

Tensor FeedForwardLayer::operator()(Ctx& c, const Tensor& x) const {
  const Activation act = std::visit([](const auto& s) { return s.act; }, spec);
  const Tensor inner = gate ? glu(c, (*gate)(c, x), up(c, x), act) : activation(c, up(c, x), act);
  return down(c, inner);
}

}  // namespace stemma
