// T5 (Raffel et al. 2020), versions 1.0 and 1.1 (and Flan-T5, UL2, which say t5 too): an encoder
// and a decoder of pre-norm blocks with one table of relative distances a stack, attention that is
// not scaled, heads whose size is independent of the width, no biases. Version 1.0 ties the head
// to the embedding and scales what it reads; 1.1 has a gated feed-forward and a head of its own.
// Source: configuration_t5.py and modeling_t5.py of transformers.
#include "families/config.h"

namespace stemma {

STEMMA_CONFIG_NAMES(t5, {"d_model", "hidden_size"}, {"num_heads", "num_attention_heads"},
                    {"num_layers", "num_hidden_layers"}, {"d_kv", "head_dim"},
                    {"d_ff", "intermediate_size"}, {"n_positions", "max_position_embeddings"});

namespace {

Ffn feed_forward(const Json& config) {
  const int inner = integer(config, "intermediate_size", 2048);
  const std::string name = config.get("feed_forward_proj", "relu");
  constexpr std::string_view kGated = "gated-";
  if (!name.starts_with(kGated)) return Mlp{inner, activation_from_name(name), false};
  const std::string act = name.substr(kGated.size());
  return Glu{inner, activation_from_name(act == "gelu" ? "gelu_new" : act), false};
}

BlockSpec block_of(const Json& config, bool decoder) {
  Attention attention;
  attention.heads = attention.kv_heads = integer(config, "num_attention_heads", 8);
  attention.head_size = integer(config, "head_dim", 64);
  attention.scale = 1;
  const Attention cross = attention;
  attention.causal = decoder;
  attention.position =
      RelativeBuckets{.bidirectional = !decoder,
                      .buckets = integer(config, "relative_attention_num_buckets", 32),
                      .max_distance = integer(config, "relative_attention_max_distance", 128)};
  BlockSpec block;
  block.mixer = attention;
  block.ffn = feed_forward(config);
  if (decoder) block.cross = cross;
  block.mix.in = block.ff.in = Norm{NormKind::rms, config.get("layer_norm_epsilon", 1e-6)};
  if (decoder) block.x.in = block.mix.in;
  return block;
}

StackSpec stack_of(const Json& config, bool decoder) {
  const BlockSpec block = block_of(config, decoder);
  return {std::vector<BlockSpec>(layer_count(config, 6), block), block.mix.in};
}

WeightRules rules_of(bool gated) {
  WeightRules rules = {
      "transformer.",
      {
          {"shared.weight", "embed.tokens"},
          {"encoder.embed_tokens.weight", "embed.tokens"},
          {"decoder.embed_tokens.weight", "embed.tokens"},
          {"lm_head.weight", "heads.lm.decoder.weight", true},
          {"classifier.weight", "heads.classifier.weight", true},
          {"classifier.bias", "heads.classifier.bias", true},
          {"qa_outputs.weight", "heads.span.weight", true},
          {"qa_outputs.bias", "heads.span.bias", true},
      },
      // Early files have a table that nothing reads.
      {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"},
      {},
  };
  const auto add = [&](const std::string& published, const std::string& own) {
    rules.rules.push_back({published + ".weight", own});
  };
  for (const std::string stack : {"encoder", "decoder"}) {
    const std::string layer = stack + ".block.{L}.layer.", own = stack + ".{L}.";
    const auto attention = [&](const std::string& place, const std::string& part) {
      for (const char* matrix : {"q", "k", "v"})
        add(place + matrix, own + part + matrix + ".weight");
      add(place + "o", own + part + "out.weight");
    };
    attention(layer + "0.SelfAttention.", "attn.");
    add(layer + "0.layer_norm", own + "attn.norm_in.weight");
    add(stack + ".block.0.layer.0.SelfAttention.relative_attention_bias", stack + ".buckets");
    if (stack == "decoder") {
      attention(layer + "1.EncDecAttention.", "cross.");
      add(layer + "1.layer_norm", own + "cross.norm_in.weight");
    }
    const std::string last = layer + (stack == "decoder" ? "2." : "1.");
    if (gated) add(last + "DenseReluDense.wi_0", own + "ffn.gate.weight");
    add(last + (gated ? "DenseReluDense.wi_1" : "DenseReluDense.wi"), own + "ffn.up.weight");
    add(last + "DenseReluDense.wo", own + "ffn.down.weight");
    add(last + "layer_norm", own + "ffn.norm_in.weight");
    add(stack + ".final_layer_norm", stack + ".final_norm.weight");
  }
  return rules;
}

}  // namespace

STEMMA_FAMILY(t5, "transformer",
              "pre-norm RMS, no biases, one table of distances a stack, unscaled attention",
              "T5ForConditionalGeneration", "T5Model", "T5EncoderModel", "T5ForTokenClassification",
              "T5ForQuestionAnswering") {
  const Json sizes = with_usual_names(config, kConfigNames);
  const bool classifies = architecture == "T5ForTokenClassification";

  ModelSpec spec;
  spec.embed.vocab = integer(config, "vocab_size", 32128);
  spec.embed.width = integer(sizes, "hidden_size", 512);
  spec.embed.init_std = config.get("initializer_factor", 1.0);
  spec.init_std = spec.embed.init_std * inverse_sqrt(spec.embed.width);
  spec.max_positions =
      integer(config, "n_positions", integer(config, "max_position_embeddings", 512));
  spec.encoder = stack_of(sizes, false);
  if (architecture != "T5EncoderModel" && !classifies) {
    spec.decoder =
        stack_of(with_usual_names(sizes, {{"num_decoder_layers", "num_hidden_layers"}}), true);
    spec.decoder_start = token_id(config, "decoder_start_token_id")
                             .value_or(token_id(config, "pad_token_id").value_or(0));
  }
  spec.ties.lm_head = config.get("tie_word_embeddings", true);
  if (architecture == "T5ForConditionalGeneration") {
    LmHead head;
    // Version 5 of transformers ties in any case, and remembers what the file said.
    if (config.get("scale_decoder_outputs", spec.ties.lm_head))
      head.scale = inverse_sqrt(spec.embed.width);
    spec.heads = {head};
  } else if (classifies) {
    Classifier classifier;
    classifier.reads = Reads::tokens;
    classifier.labels = label_count(config);
    classifier.problem = Problem::single_label;
    spec.heads = {classifier};
  } else if (architecture == "T5ForQuestionAnswering") {
    spec.heads = {SpanHead{}};
  }

  WeightRules rules = rules_of(std::holds_alternative<Glu>(spec.encoder->blocks.front().ffn));
  rules.bare = !classifies;
  return {spec, rules};
}

}  // namespace stemma
