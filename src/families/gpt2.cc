// GPT-2: pre-norm causal decoder with learned positions; its matrices are published as [in, out],
// queries, keys and values as one.
// Source: Radford et al. 2019; transformers models/gpt2.
#include "families/config.h"
#include "model/family.h"

namespace stemma {
namespace {

const WeightRules kRules = {
    "transformer.",
    {
        {"wte.weight", "embed.tokens"},
        {"wpe.weight", "embed.positions"},
        {"h.{L}.ln_1.weight", "decoder.{L}.attn.norm_in.weight"},
        {"h.{L}.ln_1.bias", "decoder.{L}.attn.norm_in.bias"},
        {"h.{L}.attn.c_attn.weight",
         {"decoder.{L}.attn.q.weight", "decoder.{L}.attn.k.weight", "decoder.{L}.attn.v.weight"},
         false,
         true},
        {"h.{L}.attn.c_attn.bias",
         {"decoder.{L}.attn.q.bias", "decoder.{L}.attn.k.bias", "decoder.{L}.attn.v.bias"}},
        {"h.{L}.attn.c_proj.weight", "decoder.{L}.attn.out.weight", false, true},
        {"h.{L}.attn.c_proj.bias", "decoder.{L}.attn.out.bias"},
        {"h.{L}.ln_2.weight", "decoder.{L}.ffn.norm_in.weight"},
        {"h.{L}.ln_2.bias", "decoder.{L}.ffn.norm_in.bias"},
        {"h.{L}.mlp.c_fc.weight", "decoder.{L}.ffn.up.weight", false, true},
        {"h.{L}.mlp.c_fc.bias", "decoder.{L}.ffn.up.bias"},
        {"h.{L}.mlp.c_proj.weight", "decoder.{L}.ffn.down.weight", false, true},
        {"h.{L}.mlp.c_proj.bias", "decoder.{L}.ffn.down.bias"},
        {"ln_f.weight", "decoder.final_norm.weight"},
        {"ln_f.bias", "decoder.final_norm.bias"},
        {"lm_head.weight", "heads.lm.decoder.weight", true},
        {"score.weight", "heads.classifier.weight", true},
        {"classifier.weight", "heads.classifier.weight", true},
        {"classifier.bias", "heads.classifier.bias", true},
        {"qa_outputs.weight", "heads.span.weight", true},
        {"qa_outputs.bias", "heads.span.bias", true},
    },
    {"h.{L}.attn.bias", "h.{L}.attn.masked_bias"},
    {},
};

std::vector<HeadSpec> heads(const Json& config, std::string_view architecture) {
  if (architecture == "GPT2LMHeadModel") return {LmHead{}};
  if (architecture == "GPT2ForQuestionAnswering") return {SpanHead{}};
  Classifier classifier;
  classifier.labels = label_count(config);
  if (architecture == "GPT2ForTokenClassification") {
    classifier.reads = Reads::tokens;
    classifier.problem = Problem::single_label;
    return {classifier};
  }
  classifier.reads = Reads::last_token;
  classifier.bias = false;
  classifier.problem = problem_type(config);
  if (architecture == "GPT2ForSequenceClassification") return {classifier};
  return {};
}

}  // namespace

STEMMA_CONFIG_NAMES(gpt2, {"n_embd", "hidden_size"}, {"n_head", "num_attention_heads"},
                    {"n_layer", "num_hidden_layers"}, {"n_positions", "max_position_embeddings"},
                    {"n_inner", "intermediate_size"});

STEMMA_FAMILY(gpt2, "gpt",
              "norms before each branch and after the last, residual branches that start small",
              "GPT2LMHeadModel", "GPT2Model", "GPT2ForSequenceClassification",
              "GPT2ForTokenClassification", "GPT2ForQuestionAnswering") {
  const Json names = with_usual_names(config, kConfigNames);
  if (config.get("add_cross_attention", false))
    fail(Code::kUnsupported, "[config.json] add_cross_attention is not supported for GPT-2");
  const int width = integer(names, "hidden_size", 768);
  const Norm norm{NormKind::layer, config.get("layer_norm_epsilon", 1e-5)};

  Attention attention;
  attention.heads = attention.kv_heads = integer(names, "num_attention_heads", 12);
  attention.head_size = head_size(names, width, attention.heads);
  attention.causal = true;
  attention.scale =
      config.get("scale_attn_weights", true) ? inverse_sqrt(attention.head_size) : 1.0;
  attention.q_bias = attention.k_bias = attention.v_bias = attention.out_bias = true;

  BlockSpec block;
  block.mixer = attention;
  block.mix.in = block.ff.in = norm;
  block.ffn = Mlp{integer(names, "intermediate_size", 4 * width),
                  activation_from_name(config.get("activation_function", "gelu_new")), true};

  ModelSpec spec;
  spec.max_positions = integer(names, "max_position_embeddings", 1024);
  spec.embed.vocab = integer(config, "vocab_size", 50257);
  spec.embed.width = width;
  spec.embed.position = LearnedPositions{spec.max_positions};
  spec.decoder = StackSpec{std::vector<BlockSpec>(layer_count(names, 12), block), norm};
  if (config.get("scale_attn_by_inverse_layer_idx", false))
    for (size_t l = 0; l < spec.decoder->blocks.size(); ++l)
      std::get<Attention>(spec.decoder->blocks[l].mixer).scale /= static_cast<double>(l + 1);
  spec.heads = heads(config, architecture);
  spec.ties.lm_head = config.get("tie_word_embeddings", true);
  spec.init_std = config.get("initializer_range", 0.02);

  WeightRules rules = kRules;
  rules.bare = architecture == "GPT2Model";
  return {spec, rules};
}

}  // namespace stemma
