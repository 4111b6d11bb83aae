// A tiny random causal model over bytes.
#pragma once

#include <memory>

#include "model/model.h"
#include "text/tokenizer.h"

namespace stemma {

inline std::unique_ptr<Model> tiny_causal_model(Ctx& c) {
  Attention attention;
  attention.heads = 4, attention.kv_heads = 2, attention.head_size = 6;
  attention.causal = true;
  attention.scale = 0.4;
  Rope rope;
  rope.width = 6;
  attention.position = rope;
  BlockSpec block;
  block.mixer = attention;
  block.mix.in = block.ff.in = Norm{NormKind::rms, 1e-6};
  block.ffn = Glu{20, Activation::silu, false};
  ModelSpec spec;
  spec.embed.vocab = Tokenizer::bytes().vocab_size();
  spec.embed.width = 24;
  spec.init_std = 0.5;
  spec.max_positions = 32;
  spec.decoder = StackSpec{{block, block}, Norm{NormKind::rms, 1e-6}};
  spec.heads = {LmHead{}};
  auto model = std::make_unique<Model>(spec);
  model->params().make_flat(c, 3, false);
  return model;
}

}  // namespace stemma
