// Rotary position embedding (Su et al. 2021) with the scalings of published checkpoints: linear,
// Llama 3's and YaRN (Peng et al. 2023). Rope says which rotation, rope_tables() makes cos and sin
// for positions, rope() turns queries and keys.
// Shapes: x [T, H, D]; cos, sin [T, width/2]. The first `width` dimensions of a head turn, the rest
// pass through. Frequencies and angles are computed in f32 in transformers' order, because at large
// positions the rounding of a frequency is what decides the angle.
// Source: modeling_rope_utils.py of transformers.
#pragma once

#include <optional>
#include <variant>

#include "tensor/tensor.h"

namespace stemma {

struct RopeUnscaled {
  bool operator==(const RopeUnscaled&) const = default;
  template <class Self, class V>
  static void visit_fields(Self&, V&&) {}
};

// Every frequency divided by `factor`.
struct RopeLinear {
  double factor = 1;
  bool operator==(const RopeLinear&) const = default;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("factor", s.factor);
  }
};

// Wavelengths above original / low divided by `factor`, below original / high kept, between them
// blended.
struct RopeLlama3 {
  double factor = 8, low = 1, high = 4, original = 8192;
  bool operator==(const RopeLlama3&) const = default;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("factor", s.factor);
    v("low", s.low);
    v("high", s.high);
    v("original", s.original);
  }
};

// Dimensions that turn more than beta_fast times over `original` positions are kept, those that
// turn less than beta_slow times divided by `factor`, between them a ramp.
struct RopeYarn {
  double factor = 1, original = 2048, beta_fast = 32, beta_slow = 1;
  std::optional<double> attention_factor =
      {};                                 // else from mscale and mscale_all_dim, else from factor
  double mscale = 0, mscale_all_dim = 0;  // 0: not given
  bool truncate = true;                   // the ramp's ends to whole dimensions
  bool operator==(const RopeYarn&) const = default;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("factor", s.factor);
    v("original", s.original);
    v("beta_fast", s.beta_fast);
    v("beta_slow", s.beta_slow);
    v("attention_factor", s.attention_factor);
    v("mscale", s.mscale);
    v("mscale_all_dim", s.mscale_all_dim);
    v("truncate", s.truncate);
  }
};

struct Rope {
  double theta = 10000;
  int width = 0;             // even
  bool interleaved = false;  // pairs (2j, 2j + 1) instead of (j, j + width/2)
  std::variant<RopeUnscaled, RopeLinear, RopeLlama3, RopeYarn> scaling;
  bool operator==(const Rope&) const = default;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("theta", s.theta);
    v("width", s.width);
    v("interleaved", s.interleaved);
    v("scaling", s.scaling);
  }
};

// Radians a position, [width/2]. Errors: an odd or non-positive width, a theta that is not
// positive, factors that are not positive.
PoolVector<float> rope_frequencies(
    const Rope& rope, std::pmr::memory_resource* memory = std::pmr::new_delete_resource());
// What cos and sin are multiplied by: 1 but for YaRN.
double rope_attention_factor(const Rope& rope);
// What DeepSeek multiplies scores by beside: 1 but for YaRN with mscale_all_dim.
double rope_score_factor(const Rope& rope);

struct RopeTables {
  Tensor cos, sin;  // [T, width/2]
  bool interleaved = false;
};

RopeTables rope_tables(Ctx& c, const Rope& rope, const Ints& positions);

// x and the tables share a dtype; the tables take no gradient.
Tensor rope(Ctx& c, const Tensor& x, const RopeTables& tables);

}  // namespace stemma
