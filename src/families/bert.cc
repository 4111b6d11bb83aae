// BERT: post-norm bidirectional encoder with learned positions and token types.
// Source: Devlin et al. 2018; transformers models/bert. JinaBERT and MosaicBERT files also say
// "bert": they are other architectures and are refused here.
#include "families/config.h"
#include "model/family.h"

namespace stemma {
namespace {

void refuse_dialects(const Json& config, std::string_view architecture) {
  const std::string position = config.get("position_embedding_type", "absolute");
  const Json* auto_map = config.find("auto_map");
  const bool jina = config.has("feed_forward_type") || architecture.starts_with("JinaBert") ||
                    (auto_map && auto_map->dump().find("jina") != std::string::npos);
  const bool mosaic = config.has("alibi_starting_size") ||
                      (auto_map && auto_map->dump().find("bert_layers") != std::string::npos);
  if (jina || mosaic)
    fail(Code::kUnsupported, "[config.json] this is ", jina ? "JinaBERT" : "MosaicBERT",
         ", which also says model_type \"bert\"; only the original BERT is supported");
  if (position != "absolute")
    fail(Code::kUnsupported, "[config.json] position_embedding_type \"", position,
         "\" is not supported for BERT, only \"absolute\"");
  if (config.get("add_cross_attention", false))
    fail(Code::kUnsupported, "[config.json] add_cross_attention is not supported for BERT");
}

std::vector<HeadSpec> heads(const Json& config, std::string_view architecture, Activation act,
                            const Norm& norm) {
  const bool decoder = architecture == "BertLMHeadModel";
  const LmHead lm{decoder ? Predicts::next : Predicts::same, Transform{act, norm}, true};
  Classifier classifier;
  classifier.labels = label_count(config);
  classifier.problem = problem_type(config);
  if (architecture == "BertModel") return {Pooler{Activation::tanh, true}};
  if (architecture == "BertForMaskedLM" || decoder) return {lm};
  if (architecture == "BertForSequenceClassification") return {Pooler{}, classifier};
  if (architecture == "BertForQuestionAnswering") return {SpanHead{}};
  if (architecture == "BertForTokenClassification") {
    classifier.reads = Reads::tokens;
    classifier.problem = Problem::single_label;
    return {classifier};
  }
  if (architecture == "BertForMultipleChoice") {
    classifier.labels = 1;
    classifier.problem = Problem::choice;
    return {Pooler{}, classifier};
  }
  Classifier next_sentence;
  next_sentence.name = "next_sentence";
  next_sentence.problem = Problem::single_label;
  if (architecture == "BertForNextSentencePrediction") return {Pooler{}, next_sentence};
  LmHead prediction = lm;  // BertForPreTraining
  prediction.output = "prediction_logits";
  next_sentence.output = "seq_relationship_logits";
  next_sentence.label = "next_sentence_label";
  return {Pooler{}, prediction, next_sentence};
}

const WeightRules kRules = {
    "bert.",
    {
        {"embeddings.word_embeddings.weight", "embed.tokens"},
        {"embeddings.position_embeddings.weight", "embed.positions"},
        {"embeddings.token_type_embeddings.weight", "embed.types"},
        {"embeddings.LayerNorm.weight", "embed.norm.weight"},
        {"embeddings.LayerNorm.bias", "embed.norm.bias"},
        {"encoder.layer.{L}.attention.self.query.weight", "encoder.{L}.attn.q.weight"},
        {"encoder.layer.{L}.attention.self.query.bias", "encoder.{L}.attn.q.bias"},
        {"encoder.layer.{L}.attention.self.key.weight", "encoder.{L}.attn.k.weight"},
        {"encoder.layer.{L}.attention.self.key.bias", "encoder.{L}.attn.k.bias"},
        {"encoder.layer.{L}.attention.self.value.weight", "encoder.{L}.attn.v.weight"},
        {"encoder.layer.{L}.attention.self.value.bias", "encoder.{L}.attn.v.bias"},
        {"encoder.layer.{L}.attention.output.dense.weight", "encoder.{L}.attn.out.weight"},
        {"encoder.layer.{L}.attention.output.dense.bias", "encoder.{L}.attn.out.bias"},
        {"encoder.layer.{L}.attention.output.LayerNorm.weight",
         "encoder.{L}.attn.norm_after.weight"},
        {"encoder.layer.{L}.attention.output.LayerNorm.bias", "encoder.{L}.attn.norm_after.bias"},
        {"encoder.layer.{L}.intermediate.dense.weight", "encoder.{L}.ffn.up.weight"},
        {"encoder.layer.{L}.intermediate.dense.bias", "encoder.{L}.ffn.up.bias"},
        {"encoder.layer.{L}.output.dense.weight", "encoder.{L}.ffn.down.weight"},
        {"encoder.layer.{L}.output.dense.bias", "encoder.{L}.ffn.down.bias"},
        {"encoder.layer.{L}.output.LayerNorm.weight", "encoder.{L}.ffn.norm_after.weight"},
        {"encoder.layer.{L}.output.LayerNorm.bias", "encoder.{L}.ffn.norm_after.bias"},
        {"pooler.dense.weight", "heads.pooler.weight"},
        {"pooler.dense.bias", "heads.pooler.bias"},
        {"cls.predictions.transform.dense.weight", "heads.lm.transform.weight", true},
        {"cls.predictions.transform.dense.bias", "heads.lm.transform.bias", true},
        {"cls.predictions.transform.LayerNorm.weight", "heads.lm.norm.weight", true},
        {"cls.predictions.transform.LayerNorm.bias", "heads.lm.norm.bias", true},
        {"cls.predictions.decoder.weight", "heads.lm.decoder.weight", true},
        {"cls.seq_relationship.weight", "heads.next_sentence.weight", true},
        {"cls.seq_relationship.bias", "heads.next_sentence.bias", true},
        {"classifier.weight", "heads.classifier.weight", true},
        {"classifier.bias", "heads.classifier.bias", true},
        {"qa_outputs.weight", "heads.span.weight", true},
        {"qa_outputs.bias", "heads.span.bias", true},
    },
    {
        "embeddings.position_ids",
        "embeddings.token_type_ids",
    },
    {{"LayerNorm.gamma", "LayerNorm.weight"}, {"LayerNorm.beta", "LayerNorm.bias"}},
};

}  // namespace

STEMMA_FAMILY(bert, "transformer", "the encoder alone, reading both ways; learned positions",
              "BertModel", "BertForMaskedLM", "BertForPreTraining", "BertForNextSentencePrediction",
              "BertForSequenceClassification", "BertForTokenClassification",
              "BertForQuestionAnswering", "BertForMultipleChoice", "BertLMHeadModel",
              "JinaBertModel", "JinaBertForMaskedLM") {
  refuse_dialects(config, architecture);
  const int width = integer(config, "hidden_size", 768);
  const Norm norm{NormKind::layer, config.get("layer_norm_eps", 1e-12)};
  const Activation act = activation_from_name(config.get("hidden_act", "gelu"));

  Attention attention;
  attention.heads = attention.kv_heads = integer(config, "num_attention_heads", 12);
  attention.head_size = head_size(config, width, attention.heads);
  attention.causal = config.get("is_decoder", false);
  attention.scale = inverse_sqrt(attention.head_size);
  attention.q_bias = attention.k_bias = attention.v_bias = attention.out_bias = true;

  BlockSpec block;
  block.mixer = attention;
  block.mix.after_add = block.ff.after_add = norm;
  block.ffn = Mlp{integer(config, "intermediate_size", 3072), act, true};

  ModelSpec spec;
  spec.max_positions = integer(config, "max_position_embeddings", 512);
  spec.embed.vocab = integer(config, "vocab_size", 30522);
  spec.embed.width = width;
  spec.embed.padding_id = padding_id(config, 0, spec.embed.vocab);
  spec.embed.position = LearnedPositions{spec.max_positions};
  spec.embed.types = integer(config, "type_vocab_size", 2);
  spec.embed.norm = norm;
  spec.encoder = StackSpec{std::vector<BlockSpec>(layer_count(config, 12), block), std::nullopt};
  spec.heads = heads(config, architecture, act, norm);
  spec.ties.lm_head = config.get("tie_word_embeddings", true);
  spec.init_std = config.get("initializer_range", 0.02);

  WeightRules rules = kRules;
  // The output bias is stored under two names; the second is read where the first is absent.
  const char* names[] = {"cls.predictions.bias", "cls.predictions.decoder.bias"};
  if (!spec.ties.lm_head) std::swap(names[0], names[1]);
  for (const char* name : names) rules.rules.push_back({name, "heads.lm.decoder.bias", true});
  rules.bare = architecture == "BertModel";
  return {spec, rules};
}

}  // namespace stemma
