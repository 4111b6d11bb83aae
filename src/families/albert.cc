// ALBERT: BERT's block with parameters shared over layers, and narrow embeddings behind a
// projection. Source: Lan et al. 2020; transformers models/albert.
#include "families/config.h"
#include "model/family.h"

namespace stemma {
namespace {

// Block `own` is the `inner`-th of group `group`.
void add_block_rules(WeightRules& rules, size_t group, size_t inner, size_t own) {
  const std::string from =
      cat("encoder.albert_layer_groups.", group, ".albert_layers.", inner, ".");
  const std::string to = cat("encoder.", own, ".");
  constexpr const char* kPairs[][2] = {
      {"attention.query", "attn.q"},
      {"attention.key", "attn.k"},
      {"attention.value", "attn.v"},
      {"attention.dense", "attn.out"},
      {"attention.LayerNorm", "attn.norm_after"},
      {"ffn", "ffn.up"},
      {"ffn_output", "ffn.down"},
      {"full_layer_layer_norm", "ffn.norm_after"},
  };
  for (const auto& [theirs, ours] : kPairs)
    for (const char* part : {".weight", ".bias"})
      rules.rules.push_back({from + theirs + part, to + ours + part});
}

const WeightRules kRules = {
    "albert.",
    {
        {"embeddings.word_embeddings.weight", "embed.tokens"},
        {"embeddings.position_embeddings.weight", "embed.positions"},
        {"embeddings.token_type_embeddings.weight", "embed.types"},
        {"embeddings.LayerNorm.weight", "embed.norm.weight"},
        {"embeddings.LayerNorm.bias", "embed.norm.bias"},
        {"encoder.embedding_hidden_mapping_in.weight", "embed.projection.weight"},
        {"encoder.embedding_hidden_mapping_in.bias", "embed.projection.bias"},
        {"pooler.weight", "heads.pooler.weight"},
        {"pooler.bias", "heads.pooler.bias"},
        {"predictions.dense.weight", "heads.lm.transform.weight", true},
        {"predictions.dense.bias", "heads.lm.transform.bias", true},
        {"predictions.LayerNorm.weight", "heads.lm.norm.weight", true},
        {"predictions.LayerNorm.bias", "heads.lm.norm.bias", true},
        {"predictions.decoder.weight", "heads.lm.decoder.weight", true},
        {"sop_classifier.classifier.weight", "heads.sentence_order.weight", true},
        {"sop_classifier.classifier.bias", "heads.sentence_order.bias", true},
        {"classifier.weight", "heads.classifier.weight", true},
        {"classifier.bias", "heads.classifier.bias", true},
        {"qa_outputs.weight", "heads.span.weight", true},
        {"qa_outputs.bias", "heads.span.bias", true},
    },
    {"embeddings.position_ids", "embeddings.token_type_ids"},
    {},
};

std::vector<HeadSpec> heads(const Json& config, std::string_view architecture,
                            const Transform& transform) {
  LmHead lm{Predicts::same, transform, true};
  Classifier classifier;
  classifier.labels = label_count(config);
  classifier.problem = problem_type(config);
  if (architecture == "AlbertModel") return {Pooler{Activation::tanh, true}};
  if (architecture == "AlbertForMaskedLM") return {lm};
  if (architecture == "AlbertForQuestionAnswering") return {SpanHead{}};
  if (architecture == "AlbertForSequenceClassification") return {Pooler{}, classifier};
  if (architecture == "AlbertForTokenClassification") {
    classifier.reads = Reads::tokens;
    classifier.problem = Problem::single_label;
    return {classifier};
  }
  if (architecture == "AlbertForMultipleChoice") {
    classifier.labels = 1;
    classifier.problem = Problem::choice;
    return {Pooler{}, classifier};
  }
  lm.output = "prediction_logits";  // AlbertForPreTraining
  Classifier order;
  order.problem = Problem::single_label;
  order.name = "sentence_order";
  order.output = "sop_logits";
  order.label = "sentence_order_label";
  return {Pooler{}, lm, order};
}

}  // namespace

STEMMA_FAMILY(albert, "bert",
              "parameters shared over layers, factorised embeddings, sentence order", "AlbertModel",
              "AlbertForMaskedLM", "AlbertForPreTraining", "AlbertForSequenceClassification",
              "AlbertForTokenClassification", "AlbertForQuestionAnswering",
              "AlbertForMultipleChoice") {
  const int width = integer(config, "hidden_size", 4096);
  const Norm norm{NormKind::layer, config.get("layer_norm_eps", 1e-12)};
  const Activation act = activation_from_name(config.get("hidden_act", "gelu_new"));

  Attention attention;
  attention.heads = attention.kv_heads = integer(config, "num_attention_heads", 64);
  attention.head_size = head_size(config, width, attention.heads);
  attention.scale = inverse_sqrt(attention.head_size);
  attention.q_bias = attention.k_bias = attention.v_bias = attention.out_bias = true;

  BlockSpec block;
  block.mixer = attention;
  block.mix.after_add = block.ff.after_add = norm;
  block.ffn = Mlp{integer(config, "intermediate_size", 16384), act, true};

  const size_t layers = layer_count(config, 12);
  const auto groups = static_cast<size_t>(integer(config, "num_hidden_groups", 1));
  const auto inner = static_cast<size_t>(integer(config, "inner_group_num", 1));
  check(groups <= layers, "[config.json] num_hidden_groups ", groups, " is more than ", layers,
        " layers");

  ModelSpec spec;
  spec.max_positions = integer(config, "max_position_embeddings", 512);
  spec.embed.vocab = integer(config, "vocab_size", 30000);
  spec.embed.width = width;
  spec.embed.inner = integer(config, "embedding_size", 128);
  spec.embed.padding_id = padding_id(config, 0, spec.embed.vocab);
  spec.embed.position = LearnedPositions{spec.max_positions};
  spec.embed.types = integer(config, "type_vocab_size", 2);
  spec.embed.norm = norm;
  spec.encoder = StackSpec{std::vector<BlockSpec>(groups * inner, block), std::nullopt};
  WeightRules rules = kRules;
  for (size_t g = 0; g < groups; ++g)
    for (size_t i = 0; i < inner; ++i) add_block_rules(rules, g, i, g * inner + i);
  for (size_t l = 0; l < layers; ++l)
    for (size_t i = 0; i < inner; ++i)
      spec.encoder->schedule.push_back(static_cast<int>(l * groups / layers * inner + i));
  spec.heads = heads(config, architecture, {act, norm, spec.embed.inner});
  spec.ties.lm_head = config.get("tie_word_embeddings", true);
  spec.init_std = config.get("initializer_range", 0.02);
  // The output bias is stored under two names; the second is read where the first is absent.
  const char* names[] = {"predictions.bias", "predictions.decoder.bias"};
  if (!spec.ties.lm_head) std::swap(names[0], names[1]);
  for (const char* name : names) rules.rules.push_back({name, "heads.lm.decoder.bias", true});
  rules.bare = architecture == "AlbertModel";
  return {spec, rules};
}

}  // namespace stemma
