// DeBERTa, v1 and v2 (which v3 is, too): BERT's block with content and position taken apart in
// attention, over log buckets since v2. The enhanced mask decoder of the paper is not part of
// published classes. Sources: He et al. 2021; transformers models/deberta, models/deberta_v2.
#include <algorithm>

#include "families/config.h"
#include "model/family.h"

namespace stemma {
namespace {

void refuse(bool set, std::string_view what) {
  if (set) fail(Code::kUnsupported, "[config.json] ", what, " is not supported for DeBERTa");
}

// pos_att_type: "c2p|p2c", a list, or null.
int position_terms(const Json& config, Disentangled& to) {
  to.content_to_position = to.position_to_content = false;
  int terms = 0;
  const auto add = [&](std::string_view name) {
    const bool c2p = name == "c2p", p2c = name == "p2c";
    refuse(!c2p && !p2c, cat("pos_att_type \"", name, "\""));
    (c2p ? to.content_to_position : to.position_to_content) = true;
    ++terms;
  };
  const Json* given = config.find("pos_att_type");
  if (!given || given->is_null()) return 0;
  if (given->is_array()) {
    for (const Json& name : given->items()) add(name.as_string());
    return terms;
  }
  for (std::string_view rest = given->as_string(); !rest.empty();) {
    const size_t end = std::min(rest.find('|'), rest.size());
    add(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return terms;
}

// What the versions differ in.
struct Version {
  bool second;
  int width, layers, heads, inner, vocab;
};

Attention attention_of(const Json& config, const Version& version, int width, const Norm& norm) {
  Attention a;
  a.heads = a.kv_heads = integer(config, "num_attention_heads", version.heads);
  a.head_size = config.has("attention_head_size") ? integer(config, "attention_head_size", 64)
                                                  : head_size(config, width, a.heads);
  Disentangled d;
  const int terms = position_terms(config, d);
  a.scale = inverse_sqrt(a.head_size * (1 + terms));
  a.q_bias = a.v_bias = a.out_bias = true;
  a.k_bias = version.second;
  if (!config.get("relative_attention", false)) return a;
  const auto most = static_cast<int>(config.get("max_relative_positions", int64_t{-1}));
  d.reach = most > 0 ? most : integer(config, "max_position_embeddings", 512);
  d.k_bias = version.second, d.q_bias = true;
  if (version.second) {
    const auto buckets = static_cast<int>(config.get("position_buckets", int64_t{-1}));
    if (buckets > 0) d.max_distance = std::exchange(d.reach, buckets);
    d.shared = config.get("share_att_key", false);
    const std::string normed = config.get("norm_rel_ebd", "none");
    if (normed.find("layer_norm") != std::string::npos) d.norm = norm;
  }
  a.position = d;
  return a;
}

std::vector<HeadSpec> heads(const Json& config, std::string_view architecture, const Norm& norm) {
  const Activation act = activation_from_name(config.get("hidden_act", "gelu"));
  const Pooler pooler{activation_from_name(config.get("pooler_hidden_act", "gelu"))};
  Classifier classifier;
  classifier.labels = label_count(config);
  classifier.problem = problem_type(config);
  if (architecture.ends_with("ForMaskedLM"))
    return {LmHead{Predicts::same, Transform{act, norm}, true}};
  if (architecture.ends_with("ForReplacedTokenDetection")) return {ReplacedHead{act, norm}};
  if (architecture.ends_with("ForQuestionAnswering")) return {SpanHead{}};
  if (architecture.ends_with("ForSequenceClassification")) return {pooler, classifier};
  if (architecture.ends_with("ForTokenClassification")) {
    classifier.reads = Reads::tokens;
    classifier.problem = Problem::single_label;
    return {classifier};
  }
  if (architecture.ends_with("ForMultipleChoice")) {
    classifier.labels = 1;
    classifier.problem = Problem::choice;
    return {pooler, classifier};
  }
  return {};
}

WeightRules rules(const Version& version, const Attention& a, bool legacy, bool tied) {
  WeightRules rules{"deberta.", {}, {"embeddings.position_ids"}, {}};
  const auto add = [&](std::string from, std::string to, bool head = false) {
    for (const char* part : {".weight", ".bias"})
      rules.rules.push_back({from + part, to + part, head});
  };
  const std::string layer = "encoder.layer.{L}.", self = layer + "attention.self.",
                    own = "encoder.{L}.";
  rules.rules = {{"embeddings.word_embeddings.weight", "embed.tokens"},
                 {"embeddings.position_embeddings.weight", "embed.positions"},
                 {"embeddings.token_type_embeddings.weight", "embed.types"},
                 {"encoder.rel_embeddings.weight", "encoder.distances"}};
  add("embeddings.LayerNorm", "embed.norm");
  if (version.second) {
    add(self + "query_proj", own + "attn.q");
    add(self + "key_proj", own + "attn.k");
    add(self + "value_proj", own + "attn.v");
    add(self + "pos_key_proj", own + "attn.distance_k");
    add(self + "pos_query_proj", own + "attn.distance_q");
    add("encoder.LayerNorm", "encoder.distances_norm");
    add("encoder.conv.conv", "encoder.0.beside");
    add("encoder.conv.LayerNorm", "encoder.0.beside.norm");
  } else {
    rules.rules.push_back({.published = self + "in_proj.weight",
                           .own = {"encoder.{L}.attn.q.weight", "encoder.{L}.attn.k.weight",
                                   "encoder.{L}.attn.v.weight"},
                           .turns = a.head_size});
    rules.rules.push_back({self + "q_bias", own + "attn.q.bias"});
    rules.rules.push_back({self + "v_bias", own + "attn.v.bias"});
    add(self + "pos_proj", own + "attn.distance_k");
    add(self + "pos_q_proj", own + "attn.distance_q");
  }
  add(layer + "attention.output.dense", own + "attn.out");
  add(layer + "attention.output.LayerNorm", own + "attn.norm_after");
  add(layer + "intermediate.dense", own + "ffn.up");
  add(layer + "output.dense", own + "ffn.down");
  add(layer + "output.LayerNorm", own + "ffn.norm_after");
  // The masked-language head has two spellings, and both are read.
  const auto head = [&](bool of_legacy) {
    const std::string name = of_legacy ? "cls.predictions." : "lm_predictions.lm_head.";
    add(name + (of_legacy ? "transform.dense" : "dense"), "heads.lm.transform", true);
    add(name + (of_legacy ? "transform.LayerNorm" : "LayerNorm"), "heads.lm.norm", true);
    // The legacy head stores its bias twice, and where it is not tied the first one is unused.
    if (tied || !of_legacy) rules.rules.push_back({name + "bias", "heads.lm.decoder.bias", true});
    if (of_legacy) add(name + "decoder", "heads.lm.decoder", true);
  };
  head(legacy), head(!legacy);
  add("mask_predictions.dense", "heads.replaced.dense", true);
  add("mask_predictions.LayerNorm", "heads.replaced.norm", true);
  add("mask_predictions.classifier", "heads.replaced.classifier", true);
  add("pooler.dense", "heads.pooler", true);
  add("classifier", "heads.classifier", true);
  add("qa_outputs", "heads.span", true);
  return rules;
}

Resolved deberta(const Json& config, std::string_view architecture, const Version& version) {
  refuse(config.get("talking_head", false), "talking_head");
  const int width = integer(config, "hidden_size", version.width);
  refuse(integer(config, "embedding_size", width) != width, "an embedding_size of its own");
  refuse(integer(config, "pooler_hidden_size", width) != width, "a pooler_hidden_size of its own");
  const Norm norm{NormKind::layer, config.get("layer_norm_eps", 1e-7)};
  const Attention attention = attention_of(config, version, width, norm);

  BlockSpec block;
  block.mixer = attention;
  block.mix.after_add = block.ff.after_add = norm;
  block.ffn = Mlp{integer(config, "intermediate_size", version.inner),
                  activation_from_name(config.get("hidden_act", "gelu")), true};

  ModelSpec spec;
  spec.max_positions = integer(config, "max_position_embeddings", 512);
  spec.embed.vocab = integer(config, "vocab_size", version.vocab);
  spec.embed.width = width;
  spec.embed.padding_id = padding_id(config, 0, spec.embed.vocab);
  const bool biased = config.get("position_biased_input", true);
  if (biased) spec.embed.position = LearnedPositions{spec.max_positions};
  spec.embed.types = static_cast<int>(config.get("type_vocab_size", int64_t{0}));
  spec.embed.norm = norm;
  spec.encoder =
      StackSpec{std::vector<BlockSpec>(layer_count(config, version.layers), block), std::nullopt};
  if (version.second && config.get("conv_kernel_size", int64_t{0}) > 0)
    spec.encoder->blocks[0].beside =
        Convolution{integer(config, "conv_kernel_size", 3), integer(config, "conv_groups", 1),
                    activation_from_name(config.get("conv_act", "tanh")), norm};
  spec.heads = heads(config, architecture, norm);
  const bool legacy = config.get("legacy", true);
  spec.ties.lm_head = !legacy || config.get("tie_word_embeddings", true);
  spec.init_std = config.get("initializer_range", 0.02);

  WeightRules table = rules(version, attention, legacy, spec.ties.lm_head);
  // Published files may keep the positions that only the enhanced mask decoder reads.
  if (!biased) table.ignorable.push_back("embeddings.position_embeddings.weight");
  // Not tied, the decoder has a bias of its own, and this one is stored and unused.
  if (legacy && !spec.ties.lm_head) {
    constexpr std::string_view kUnused = "cls.predictions.bias";
    std::erase_if(table.rules, [&](const WeightRule& rule) { return rule.published == kUnused; });
    table.ignorable.emplace_back(kUnused);
  }
  table.bare = architecture.ends_with("Model");
  return {spec, table};
}

// What published models have.
Json customs(int64_t) {
  return Json::object({{"relative_attention", true},
                       {"pos_att_type", "c2p|p2c"},
                       {"position_biased_input", false},
                       {"type_vocab_size", 0}});
}

Json customs_v2(int64_t length) {
  Json config = customs(length);
  config.set("position_buckets", std::clamp<int64_t>(length / 2, 4, 256));
  config.set("norm_rel_ebd", "layer_norm");
  config.set("share_att_key", true);
  config.set("legacy", false);
  return config;
}

const RegisterCustoms register_customs("deberta", customs),
    register_customs_v2("deberta-v2", customs_v2);

}  // namespace

STEMMA_FAMILY(deberta, "bert", "content and position taken apart in attention", "DebertaModel",
              "DebertaForMaskedLM", "DebertaForSequenceClassification",
              "DebertaForTokenClassification", "DebertaForQuestionAnswering") {
  return deberta(config, architecture, {false, 768, 12, 12, 3072, 50265});
}

STEMMA_FAMILY_NAMED(deberta_v2, "deberta-v2", "deberta",
                    "distances in log buckets, shared projections, replaced-token detection",
                    "DebertaV2Model", "DebertaV2ForMaskedLM", "DebertaV2ForSequenceClassification",
                    "DebertaV2ForTokenClassification", "DebertaV2ForQuestionAnswering",
                    "DebertaV2ForMultipleChoice", "DebertaV2ForReplacedTokenDetection") {
  return deberta(config, architecture, {true, 1536, 24, 24, 6144, 128100});
}

}  // namespace stemma
