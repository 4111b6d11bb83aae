// Specs as JSON: one walk over visit_fields() serves inspect, equality and the reference page.
#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "base/json.h"
#include "model/spec.h"

namespace stemma {

// The name of a variant's alternative in JSON.
template <class T>
struct SpecName;
#define STEMMA_SPEC_NAME(type, text)           \
  template <>                                  \
  struct SpecName<type> {                      \
    static constexpr const char* value = text; \
  }
STEMMA_SPEC_NAME(NoPosition, "none");
STEMMA_SPEC_NAME(Rope, "rope");
STEMMA_SPEC_NAME(RelativeBuckets, "relative_buckets");
STEMMA_SPEC_NAME(TransformerXl, "transformer_xl");
STEMMA_SPEC_NAME(Disentangled, "disentangled");
STEMMA_SPEC_NAME(LearnedPositions, "learned");
STEMMA_SPEC_NAME(Attention, "attention");
STEMMA_SPEC_NAME(LatentAttention, "latent_attention");
STEMMA_SPEC_NAME(Selective, "selective");
STEMMA_SPEC_NAME(Ssd, "ssd");
STEMMA_SPEC_NAME(Wkv, "wkv");
STEMMA_SPEC_NAME(ChannelMix, "channel_mix");
STEMMA_SPEC_NAME(S4, "s4");
STEMMA_SPEC_NAME(Ttt, "ttt");
STEMMA_SPEC_NAME(Lstm, "lstm");
STEMMA_SPEC_NAME(Mlp, "mlp");
STEMMA_SPEC_NAME(Glu, "glu");
STEMMA_SPEC_NAME(Experts, "experts");
STEMMA_SPEC_NAME(NoFfn, "none");
STEMMA_SPEC_NAME(Pooler, "pooler");
STEMMA_SPEC_NAME(LmHead, "lm_head");
STEMMA_SPEC_NAME(Classifier, "classifier");
STEMMA_SPEC_NAME(SpanHead, "span");
STEMMA_SPEC_NAME(ReplacedHead, "replaced");
STEMMA_SPEC_NAME(RopeUnscaled, "none");
STEMMA_SPEC_NAME(RopeLinear, "linear");
STEMMA_SPEC_NAME(RopeLlama3, "llama3");
STEMMA_SPEC_NAME(RopeYarn, "yarn");

inline const char* enum_name(NormKind v) { return v == NormKind::layer ? "layer" : "rms"; }
inline const char* enum_name(Listed v) { return v == Listed::inputs ? "inputs" : "outputs"; }
inline const char* enum_name(Predicts v) { return v == Predicts::next ? "next" : "same"; }
inline const char* enum_name(Reads v) {
  constexpr const char* names[] = {"pooled", "tokens", "last_token", "first_token", "mean"};
  return names[static_cast<int>(v)];
}
inline const char* enum_name(Problem v) {
  constexpr const char* names[] = {"single_label", "multi_label", "regression", "choice"};
  return names[static_cast<int>(v)];
}
inline const char* enum_name(Routing::Scores v) {
  return v == Routing::Scores::softmax ? "softmax" : "sigmoid";
}
inline std::string enum_name(Activation v) { return std::string(activation_name(v)); }

template <class T>
Json to_json(const T& value);

namespace internal {
template <class T>
struct ToJson {
  static Json of(const T& value) {
    if constexpr (std::is_enum_v<T>) {
      return Json(std::string(enum_name(value)));
    } else if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>) {
      return Json(value);
    } else {
      Json object = Json::object();
      T::visit_fields(
          value, [&](const char* name, const auto& field) { object.set(name, to_json(field)); });
      return object;
    }
  }
};
template <class T>
struct ToJson<std::optional<T>> {
  static Json of(const std::optional<T>& value) { return value ? to_json(*value) : Json(); }
};
template <class T>
struct ToJson<std::vector<T>> {
  static Json of(const std::vector<T>& values) {
    Json list = Json::array();
    for (const T& value : values) list.push_back(to_json(value));
    return list;
  }
};
template <class... T>
struct ToJson<std::variant<T...>> {
  static Json of(const std::variant<T...>& value) {
    return std::visit(
        [](const auto& alternative) {
          Json object = Json::object();
          object.set("kind", SpecName<std::decay_t<decltype(alternative)>>::value);
          const Json fields = to_json(alternative);
          for (const auto& [name, field] : fields.members()) object.set(name, field);
          return object;
        },
        value);
  }
};
}  // namespace internal

template <class T>
Json to_json(const T& value) {
  return internal::ToJson<T>::of(value);
}

}  // namespace stemma
