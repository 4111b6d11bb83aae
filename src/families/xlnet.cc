// XLNet: Transformer-XL attention, bidirectional, with a second stream of queries for permutation
// language modelling, and memory. Source: Yang et al. 2019; transformers models/xlnet.
#include "families/config.h"
#include "model/family.h"

namespace stemma {
namespace {

void refuse(bool set, std::string_view what) {
  if (set) fail(Code::kUnsupported, "[config.json] ", what, " is not supported for XLNet");
}

Activation activation_or_none(const std::string& name) {
  return name.empty() ? Activation::identity : activation_from_name(name);
}

// What reads a sequence for the classes that answer once for each.
std::vector<HeadSpec> summary(const Json& config, Classifier classifier) {
  const std::string type = config.get("summary_type", "last");
  const std::string act = config.get("summary_activation", "tanh");
  const bool last = type == "last" || type == "cls_index",
             projects = config.get("summary_use_proj", true);
  refuse(!last && type != "first", "summary_type \"" + type + "\"");
  if (projects) return {Pooler{activation_or_none(act), false, last}, classifier};
  refuse(!last || !act.empty(), "a summary without a projection that is not the last token's");
  classifier.reads = Reads::last_token;
  return {classifier};
}

std::vector<HeadSpec> heads(const Json& config, std::string_view architecture) {
  Classifier classifier;
  classifier.labels = label_count(config);
  if (architecture == "XLNetLMHeadModel") {
    LmHead lm;
    lm.predicts = Predicts::same;
    lm.bias = true;
    return {lm};
  }
  if (architecture == "XLNetForQuestionAnsweringSimple") return {SpanHead{}};
  if (architecture == "XLNetForTokenClassification") {
    classifier.reads = Reads::tokens;
    classifier.problem = Problem::single_label;
    return {classifier};
  }
  if (architecture == "XLNetForSequenceClassification") {
    classifier.problem = problem_type(config);
    return summary(config, classifier);
  }
  if (architecture == "XLNetForMultipleChoice") {
    classifier.labels = 1;
    classifier.problem = Problem::choice;
    return summary(config, classifier);
  }
  return {};
}

WeightRules rules(const Attention& a, int64_t width, std::string_view architecture) {
  const Shape cut{width, a.heads, a.head_size};
  WeightRules rules = {
      "transformer.",
      {
          {"word_embedding.weight", "embed.tokens"},
          {"mask_emb", "embed.query"},
      },
      {},
      {},
  };
  const auto add = [&](std::string published, std::string own) {
    rules.rules.push_back({"layer.{L}." + published, "encoder.{L}." + own});
  };
  for (const char* name : {"q", "k", "v", "r"})
    rules.rules.push_back({.published = cat("layer.{L}.rel_attn.", name),
                           .own = cat("encoder.{L}.attn.", name, ".weight"),
                           .transposed = true,
                           .stored = cut});
  rules.rules.push_back(
      {.published = "layer.{L}.rel_attn.o", .own = "encoder.{L}.attn.out.weight", .stored = cut});
  add("rel_attn.r_w_bias", "attn.u");
  add("rel_attn.r_r_bias", "attn.v");
  add("rel_attn.r_s_bias", "attn.s");
  add("rel_attn.seg_embed", "attn.segments");
  for (const char* part : {"weight", "bias"}) {
    add(cat("rel_attn.layer_norm.", part), cat("attn.norm_after.", part));
    add(cat("ff.layer_norm.", part), cat("ffn.norm_after.", part));
    add(cat("ff.layer_1.", part), cat("ffn.up.", part));
    add(cat("ff.layer_2.", part), cat("ffn.down.", part));
    const auto head = [&](std::string published, std::string own) {
      rules.rules.push_back({published + part, own + part, true});
    };
    head("lm_loss.", "heads.lm.decoder.");
    head("sequence_summary.summary.", "heads.pooler.");
    head(architecture == "XLNetForTokenClassification" ? "classifier." : "logits_proj.",
         "heads.classifier.");
    head("qa_outputs.", "heads.span.");
  }
  rules.bare = architecture == "XLNetModel";
  return rules;
}

}  // namespace

STEMMA_CONFIG_NAMES(xlnet, {"d_model", "hidden_size"}, {"n_layer", "num_hidden_layers"},
                    {"n_head", "num_attention_heads"}, {"d_inner", "intermediate_size"});

STEMMA_FAMILY(xlnet, "transformer-xl", "permuted orders, predicted by a second stream of queries",
              "XLNetModel", "XLNetLMHeadModel", "XLNetForSequenceClassification",
              "XLNetForTokenClassification", "XLNetForMultipleChoice",
              "XLNetForQuestionAnsweringSimple") {
  refuse(config.get("same_length", false), "same_length");
  const std::string type = config.get("attn_type", "bi");
  refuse(type != "bi" && type != "uni", "attn_type \"" + type + "\"");
  const int width = integer(config, "d_model", integer(config, "hidden_size", 1024));
  const Norm norm{NormKind::layer, config.get("layer_norm_eps", 1e-12)};

  Attention attention;
  attention.heads = attention.kv_heads =
      integer(config, "n_head", integer(config, "num_attention_heads", 16));
  check(width % attention.heads == 0, "[config.json] d_model ", width, " is not a multiple of ",
        attention.heads, " attention heads");
  attention.head_size = width / attention.heads;
  attention.causal = type == "uni";
  attention.scale = inverse_sqrt(attention.head_size);
  const int clamp = static_cast<int>(config.get("clamp_len", int64_t{-1}));
  attention.position = TransformerXl{std::max(0, clamp), config.get("bi_data", false)};

  BlockSpec block;
  block.mixer = attention;
  block.mix.after_add = block.ff.after_add = norm;
  block.ffn = Mlp{integer(config, "d_inner", integer(config, "intermediate_size", 4096)),
                  activation_from_name(config.get("ff_activation", "gelu")), true};

  ModelSpec spec;
  spec.max_positions = 512;
  spec.embed.vocab = integer(config, "vocab_size", integer(config, "n_token", 32000));
  spec.embed.width = width;
  spec.embed.query = true;
  const int layers = integer(config, "n_layer", static_cast<int>(layer_count(config, 24)));
  spec.encoder = StackSpec{std::vector<BlockSpec>(static_cast<size_t>(layers), block), {}};
  spec.heads = heads(config, architecture);
  spec.ties.lm_head = config.get("tie_word_embeddings", true);
  spec.init_std = config.get("initializer_range", 0.02);
  const auto length = [&](const char* key, int fallback) {
    const Json* given = config.find(key);
    return given ? given->is_null() ? 0 : static_cast<int>(given->as_int()) : fallback;
  };
  spec.memory =
      MemorySpec{std::max(0, length("mem_len", 512)), std::max(0, length("reuse_len", 0))};
  return {spec, rules(attention, width, architecture)};
}

}  // namespace stemma
