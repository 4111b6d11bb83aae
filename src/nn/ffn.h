// Ffn: what a block computes of each token alone. Each alternative of the spec's Ffn has a layer as
// mixers do (nn/mixer.h); NoFfn has none.
#pragma once

#include <variant>

#include "nn/experts.h"
#include "nn/feed_forward.h"

namespace stemma {

using FfnLayer = std::variant<std::monostate, FeedForwardLayer, ExpertsLayer>;

inline std::monostate declare(const Place&, const NoFfn&) { return {}; }
inline FfnLayer declare(const Place& place, const Ffn& spec) {
  return std::visit([&](const auto& s) -> FfnLayer { return declare(place, s); }, spec);
}
// Floats a token inside, at most.
inline int inner_width(const Ffn& spec) {
  return std::visit(
      []<class S>(const S& s) {
        if constexpr (std::is_same_v<S, NoFfn>)
          return 0;
        else if constexpr (std::is_same_v<S, Experts>)
          return s.routing.chosen * s.inner + s.shared_inner;
        else
          return s.inner;
      },
      spec);
}

}  // namespace stemma
