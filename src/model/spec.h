// ModelSpec: a model as data. config.json becomes one of these; forward code reads nothing else.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "nn/spec.h"

namespace stemma {

struct BlockSpec {
  Mixer mixer;
  Sublayer mix;
  std::optional<Attention> cross;  // attention to the encoder's output, after the mixer
  Sublayer x;                      // cross attention's
  Ffn ffn;
  Sublayer ff;
  std::optional<Convolution> beside = {};
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("mixer", s.mixer);
    v("mix", s.mix);
    v("cross", s.cross);
    v("x", s.x);
    v("ffn", s.ffn);
    v("ff", s.ff);
    v("beside", s.beside);
  }
};

// What the list of hidden states holds of each execution.
enum class Listed { inputs, outputs };

struct StackSpec {
  std::vector<BlockSpec> blocks;
  std::optional<Norm> final_norm;
  // Which block each execution runs, where some run more than once; empty: each once, in order.
  std::vector<int> schedule = {};
  Listed listed = Listed::inputs;  // of hidden_states, which end with the result in any case
  size_t executions() const { return schedule.empty() ? blocks.size() : schedule.size(); }
  size_t block_of(size_t execution) const {
    return schedule.empty() ? execution : static_cast<size_t>(schedule[execution]);
  }
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("blocks", s.blocks);
    v("final_norm", s.final_norm);
    v("schedule", s.schedule);
    v("listed", s.listed);
  }
};

// Modules that predict further tokens, one each, from the hidden states of the model or of the
// module before and the embedding of the next token. Trained beside the language-model head, with
// `share` of its weight in the loss for all of them together. Source: DeepSeek-AI 2024
// (DeepSeek-V3), 2.2.
struct MultiToken {
  std::vector<StackSpec> modules;
  Norm norm;  // of both of a module's inputs
  double share = 0.3;
  bool optional = true;  // dropped where the checkpoint has no weights for them
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("modules", s.modules);
    v("norm", s.norm);
    v("share", s.share);
    v("optional", s.optional);
  }
};

struct Ties {
  bool lm_head = false;  // the language-model head's matrix is the token embedding
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("lm_head", s.lm_head);
  }
};

// An encoder of pictures, whose output stands in the text wherever the id `token` does. A picture
// is cut into squares of `patch` pixels; its output tokens are laid together, `shuffle` x `shuffle`
// of them side by side, and projected to the text's width. Source: Marafioti et al. 2025 (SmolVLM).
struct Pictures {
  StackSpec encoder;
  int width = 0, size = 0, patch = 0, channels = 3;
  int shuffle = 1;
  int token = -1;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("encoder", s.encoder);
    v("width", s.width);
    v("size", s.size);
    v("patch", s.patch);
    v("channels", s.channels);
    v("shuffle", s.shuffle);
    v("token", s.token);
  }
};

// Token vectors made from the characters of each word: convolutions of several widths, their
// maxima through highway layers, and a projection. Source: Peters et al. 2018 (ELMo).
struct Characters {
  int characters = 262, width = 16, longest = 50;
  std::vector<int> filter_widths, filters;
  int highways = 2;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("characters", s.characters);
    v("width", s.width);
    v("longest", s.longest);
    v("filter_widths", s.filter_widths);
    v("filters", s.filters);
    v("highways", s.highways);
  }
};

// What is remembered of what went into each execution, from one stretch of a text to the next.
struct MemorySpec {
  int length = 0;  // of the last tokens; 0: all
  int reuse = 0;   // of each stretch only its first tokens; 0: all
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("length", s.length);
    v("reuse", s.reuse);
  }
};

struct ModelSpec {
  EmbedSpec embed;
  std::optional<Characters> characters;  // in place of the table of tokens
  std::optional<Pictures> pictures;
  std::optional<StackSpec> encoder, decoder;
  std::vector<HeadSpec> heads;
  std::optional<MultiToken> multi_token;
  Ties ties;
  double init_std = 0.02;
  int max_positions = 0;   // the longest sequence the model was made for
  int decoder_start = -1;  // of models with both stacks: the token that every target begins with
  std::optional<MemorySpec> memory = {};
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("embed", s.embed);
    v("characters", s.characters);
    v("pictures", s.pictures);
    v("encoder", s.encoder);
    v("decoder", s.decoder);
    v("heads", s.heads);
    v("multi_token", s.multi_token);
    v("ties", s.ties);
    v("init_std", s.init_std);
    v("max_positions", s.max_positions);
    v("decoder_start", s.decoder_start);
    v("memory", s.memory);
  }

  // Whether an encoder reads a source before the decoder writes.
  bool reads_source() const { return encoder && decoder; }
  // The stack that the heads read: the decoder, where there is one.
  const StackSpec& stack() const { return decoder ? *decoder : *encoder; }
  // Whether its predictions are those of targets, the second of two streams.
  bool predicts_by_queries() const { return embed.query && head<LmHead>() != nullptr; }
  template <class Head>
  const Head* head() const {
    for (const HeadSpec& h : heads)
      if (auto* found = std::get_if<Head>(&h)) return found;
    return nullptr;
  }
};

}  // namespace stemma
