// ModernBERT: pre-norm encoder with rotations, a gated feed-forward and no biases, whose layers
// attend to everything or, two of three, to a window.
// Source: Warner et al. 2024; transformers models/modernbert.
#include "families/config.h"
#include "model/family.h"

namespace stemma {
namespace {

const WeightRules kRules = {
    "model.",
    {
        {"embeddings.tok_embeddings.weight", "embed.tokens"},
        {"embeddings.norm.weight", "embed.norm.weight"},
        {"embeddings.norm.bias", "embed.norm.bias"},
        {"layers.{L}.attn_norm.weight", "encoder.{L}.attn.norm_in.weight"},
        {"layers.{L}.attn_norm.bias", "encoder.{L}.attn.norm_in.bias"},
        {"layers.{L}.attn.Wqkv.weight",
         {"encoder.{L}.attn.q.weight", "encoder.{L}.attn.k.weight", "encoder.{L}.attn.v.weight"}},
        {"layers.{L}.attn.Wqkv.bias",
         {"encoder.{L}.attn.q.bias", "encoder.{L}.attn.k.bias", "encoder.{L}.attn.v.bias"}},
        {"layers.{L}.attn.Wo.weight", "encoder.{L}.attn.out.weight"},
        {"layers.{L}.attn.Wo.bias", "encoder.{L}.attn.out.bias"},
        {"layers.{L}.mlp_norm.weight", "encoder.{L}.ffn.norm_in.weight"},
        {"layers.{L}.mlp_norm.bias", "encoder.{L}.ffn.norm_in.bias"},
        {"layers.{L}.mlp.Wi.weight", {"encoder.{L}.ffn.gate.weight", "encoder.{L}.ffn.up.weight"}},
        {"layers.{L}.mlp.Wi.bias", {"encoder.{L}.ffn.gate.bias", "encoder.{L}.ffn.up.bias"}},
        {"layers.{L}.mlp.Wo.weight", "encoder.{L}.ffn.down.weight"},
        {"layers.{L}.mlp.Wo.bias", "encoder.{L}.ffn.down.bias"},
        {"final_norm.weight", "encoder.final_norm.weight"},
        {"final_norm.bias", "encoder.final_norm.bias"},
        {"decoder.weight", "heads.lm.decoder.weight", true},
        {"decoder.bias", "heads.lm.decoder.bias", true},
    },
    {},
    {},
};

// Whether a layer sees everything.
bool is_global(const Json& config, size_t layer) {
  if (const Json* types = config.find("layer_types"); types && types->is_array())
    return types->at(layer).as_string() == "full_attention";
  return layer % static_cast<size_t>(integer(config, "global_attn_every_n_layers", 3)) == 0;
}

double theta(const Json& config, bool global) {
  if (const Json* kinds = config.find("rope_parameters"); kinds && kinds->is_object())
    if (const Json* of = kinds->find(global ? "full_attention" : "sliding_attention"))
      return of->at("rope_theta").as_double();
  return global ? config.get("global_rope_theta", 160000.0)
                : config.get("local_rope_theta", 10000.0);
}

}  // namespace

STEMMA_FAMILY(modernbert, "bert",
              "norms before each branch, RoPE, GeGLU, global and local attention, no biases",
              "ModernBertModel", "ModernBertForMaskedLM", "ModernBertForSequenceClassification",
              "ModernBertForTokenClassification", "ModernBertForQuestionAnswering",
              "ModernBertForMultipleChoice") {
  const int width = integer(config, "hidden_size", 768);
  const Norm norm{NormKind::layer, config.get("norm_eps", 1e-5), config.get("norm_bias", false)};

  Attention attention;
  attention.heads = attention.kv_heads = integer(config, "num_attention_heads", 12);
  attention.head_size = head_size(config, width, attention.heads);
  attention.scale = inverse_sqrt(attention.head_size);
  attention.q_bias = attention.k_bias = attention.v_bias = attention.out_bias =
      config.get("attention_bias", false);
  BlockSpec block;
  block.mix.in = block.ff.in = norm;
  block.ffn = Glu{integer(config, "intermediate_size", 1152),
                  activation_from_name(config.get("hidden_activation", "gelu")),
                  config.get("mlp_bias", false)};

  ModelSpec spec;
  spec.max_positions = integer(config, "max_position_embeddings", 8192);
  spec.embed.vocab = integer(config, "vocab_size", 50368);
  spec.embed.width = width;
  spec.embed.padding_id = padding_id(config, 50283, spec.embed.vocab);
  spec.embed.norm = norm;
  spec.encoder = StackSpec{{}, norm};
  for (size_t l = 0; l < layer_count(config, 22); ++l) {
    const bool global = is_global(config, l);
    attention.position = Rope{theta(config, global), attention.head_size, false, {}};
    // Half of local_attention to either side.
    attention.window = global ? 0 : integer(config, "local_attention", 128) / 2 + 1;
    block.mixer = attention;
    block.mix.in = l == 0 ? std::nullopt : std::optional(norm);
    spec.encoder->blocks.push_back(block);
  }

  const bool bias = config.get("classifier_bias", false);
  const Transform transform{activation_from_name(config.get("classifier_activation", "gelu")), norm,
                            0, bias};
  Classifier classifier;
  classifier.labels = label_count(config);
  classifier.problem = problem_type(config);
  classifier.transform = transform;
  classifier.reads =
      config.get("classifier_pooling", "cls") == "mean" ? Reads::mean : Reads::first_token;
  std::string head = "heads.classifier";
  if (architecture == "ModernBertForMaskedLM") {
    spec.heads = {LmHead{Predicts::same, transform, config.get("decoder_bias", true)}};
    head = "heads.lm";
  } else if (architecture == "ModernBertForQuestionAnswering") {
    spec.heads = {SpanHead{transform}};
    head = "heads.span";
  } else if (architecture != "ModernBertModel") {
    if (architecture == "ModernBertForTokenClassification") {
      classifier.reads = Reads::tokens;
      classifier.problem = Problem::single_label;
    } else if (architecture == "ModernBertForMultipleChoice") {
      classifier.labels = 1;
      classifier.problem = Problem::choice;
    }
    spec.heads = {classifier};
  }
  spec.ties.lm_head = config.get("tie_word_embeddings", true);
  spec.init_std = config.get("initializer_range", 0.02);

  WeightRules rules = kRules;
  for (const char* part : {"weight", "bias"}) {
    rules.rules.push_back({cat("head.dense.", part), cat(head, ".transform.", part), true});
    rules.rules.push_back({cat("head.norm.", part), cat(head, ".norm.", part), true});
    rules.rules.push_back({cat("classifier.", part), cat(head, ".", part), true});
  }
  rules.bare = architecture == "ModernBertModel";
  return {spec, rules};
}

}  // namespace stemma
