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
  Ffn ffn;
  Sublayer ff;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("mixer", s.mixer);
    v("mix", s.mix);
    v("ffn", s.ffn);
    v("ff", s.ff);
  }
};

struct StackSpec {
  std::vector<BlockSpec> blocks;
  std::optional<Norm> final_norm;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("blocks", s.blocks);
    v("final_norm", s.final_norm);
  }
};

struct Ties {
  bool lm_head = false;  // the language-model head's matrix is the token embedding
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("lm_head", s.lm_head);
  }
};

struct ModelSpec {
  EmbedSpec embed;
  std::optional<StackSpec> encoder, decoder;
  std::vector<HeadSpec> heads;
  Ties ties;
  double init_std = 0.02;
  int max_positions = 0;  // the longest sequence the model was made for
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("embed", s.embed);
    v("encoder", s.encoder);
    v("decoder", s.decoder);
    v("heads", s.heads);
    v("ties", s.ties);
    v("init_std", s.init_std);
    v("max_positions", s.max_positions);
  }

  const StackSpec& stack() const { return encoder ? *encoder : *decoder; }
  template <class Head>
  const Head* head() const {
    for (const HeadSpec& h : heads)
      if (auto* found = std::get_if<Head>(&h)) return found;
    return nullptr;
  }
};

}  // namespace stemma
