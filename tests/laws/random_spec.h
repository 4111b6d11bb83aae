// Random tiny models: a spec drawn over the whole vocabulary of specs, and batches for it.
#pragma once

#include "base/rng.h"
#include "model/model.h"

namespace stemma {

// Successive draws from one key.
class Draw {
 public:
  explicit Draw(uint64_t seed) : key_(RngKey(seed).of("law")) {}
  int upto(int n) { return static_cast<int>(key_.below(next_++, static_cast<uint64_t>(n))); }
  int between(int low, int high) { return low + upto(high - low + 1); }
  bool coin() { return upto(2) == 1; }

 private:
  RngKey key_;
  uint64_t next_ = 0;
};

inline Rope random_rope(Draw& d, int head_size) {
  Rope rope;
  rope.theta = d.coin() ? 1e4 : 500;
  rope.width = d.coin() ? head_size / 2 * 2 : std::max(2, head_size / 4 * 2);
  switch (d.upto(4)) {
    case 0:
      break;
    case 1:
      rope.scaling = RopeLinear{3};
      break;
    case 2:
      rope.scaling = RopeLlama3{4, 1, 4, 16};
      break;
    case 3: {
      RopeYarn yarn;
      yarn.factor = 4;
      yarn.original = 8;
      rope.scaling = yarn;
      break;
    }
  }
  return rope;
}

inline Norm random_norm(Draw& d) {
  return {d.coin() ? NormKind::rms : NormKind::layer, 1e-6, d.coin(), d.upto(4) == 0};
}

inline TransformerXl random_transformer_xl(Draw& d) {
  TransformerXl xl;
  if (d.coin()) xl.clamp = d.between(1, 9);
  return xl;
}

// One table serves all blocks of a stack: what shapes it is the same in all draws.
inline Disentangled random_disentangled(Draw& d, const Norm& norm) {
  Disentangled out;
  out.content_to_position = d.coin();
  out.position_to_content = !out.content_to_position || d.coin();
  out.reach = 6;
  if (d.coin()) out.max_distance = d.between(8, 20);
  out.shared = d.coin();
  out.k_bias = d.coin(), out.q_bias = d.coin();
  if (norm.bias && !norm.offset && norm.kind == NormKind::layer) out.norm = norm;
  return out;
}

inline Attention random_attention(Draw& d, bool causal) {
  Attention a;
  a.kv_heads = d.between(1, 3);
  a.heads = a.kv_heads * d.between(1, 3);
  a.head_size = d.between(3, 12);
  a.causal = causal;
  if (d.upto(3) == 0) a.window = d.between(2, 6);
  a.scale = 1 / std::sqrt(static_cast<double>(a.head_size));
  a.q_bias = d.coin(), a.k_bias = d.coin(), a.v_bias = d.coin(), a.out_bias = d.coin();
  if (d.coin()) a.qk_norm = random_norm(d);
  a.sinks = d.coin();
  if (d.coin()) a.softcap = 5;
  switch (d.upto(5)) {
    case 0:
      a.position = random_rope(d, a.head_size);
      break;
    case 1:
      a.position = RelativeBuckets{!causal, 8, d.between(9, 30), false};
      break;
    case 2:
      a.position = random_transformer_xl(d);
      break;
    case 3:
      // It has no state.
      if (!causal) a.kv_heads = a.heads, a.position = random_disentangled(d, random_norm(d));
      break;
  }
  return a;
}

inline Selective random_selective(Draw& d) {
  Selective s;
  s.inner = d.between(5, 40);
  s.state = d.between(1, 20);
  s.taps = d.between(2, 5);
  s.step_rank = d.between(1, 5);
  s.bias = d.coin(), s.conv_bias = d.coin();
  return s;
}

inline Ssd random_ssd(Draw& d) {
  Ssd s;
  s.groups = d.between(1, 3);
  s.heads = s.groups * d.between(1, 2);
  s.head_size = d.between(2, 20);
  s.state = d.between(1, 20);
  s.taps = d.between(2, 5);
  s.bias = d.coin(), s.conv_bias = d.coin();
  if (d.coin()) s.least_step = 0.05, s.most_step = 0.8;
  if (d.coin()) s.norm_groups = s.groups;
  return s;
}

inline LatentAttention random_latent_attention(Draw& d, bool causal) {
  LatentAttention a;
  a.heads = d.between(1, 4);
  if (d.coin()) a.q_rank = d.between(3, 12);
  a.kv_rank = d.between(3, 12);
  a.head_size = d.between(2, 9), a.value_size = d.between(2, 9);
  a.position = random_rope(d, 2 * d.between(1, 4));
  a.position.interleaved = d.coin();
  a.causal = causal;
  a.scale = 0.4;
  a.bias = d.coin();
  return a;
}

inline Experts random_experts(Draw& d) {
  Experts e;
  Routing& r = e.routing;
  r.groups = d.between(1, 3);
  r.kept_groups = d.between(1, r.groups);
  r.experts = r.groups * d.between(2, 4);
  r.chosen = d.between(1, r.experts / r.groups * r.kept_groups);
  r.scores = d.coin() ? Routing::Scores::softmax : Routing::Scores::sigmoid;
  r.corrected = d.coin(), r.normalised = d.coin();
  r.scale = 1.5;
  e.inner = d.between(3, 12);
  if (d.coin()) e.shared_inner = d.between(3, 12);
  return e;
}

inline ModelSpec random_spec(uint64_t seed, bool causal) {
  Draw d(seed);
  auto norm = [&] { return random_norm(d); };
  ModelSpec spec;
  spec.max_positions = 64;
  spec.init_std = 0.3;
  spec.embed.vocab = d.between(20, 60);
  spec.embed.width = d.between(9, 24);
  if (d.coin()) spec.embed.inner = d.between(7, 13);
  if (d.coin()) spec.embed.scale = 1.5;
  if (d.coin()) spec.embed.position = LearnedPositions{64};
  if (d.coin()) spec.embed.types = 2;
  if (d.coin()) spec.embed.norm = norm();

  StackSpec stack;
  const int layers = d.between(1, 3);
  for (int l = 0; l < layers; ++l) {
    BlockSpec block;
    // The scans know no future.
    switch (d.upto(causal ? 5 : 3)) {
      case 0:
        block.mixer = random_latent_attention(d, causal);
        break;
      case 3:
        block.mixer = random_selective(d);
        break;
      case 4:
        block.mixer = random_ssd(d);
        break;
      default:
        block.mixer = random_attention(d, causal);
    }
    if (const int ffn = d.upto(7); ffn == 0)
      block.ffn = NoFfn{};
    else if (ffn < 3)
      block.ffn = random_experts(d);
    else if (ffn < 5)
      block.ffn = Mlp{d.between(4, 30), Activation::gelu, d.coin()};
    else
      block.ffn = Glu{d.between(4, 30), Activation::silu, d.coin()};
    for (Sublayer* s : {&block.mix, &block.ff}) {
      if (d.coin()) s->in = norm();
      if (d.coin()) s->out = norm();
      if (!s->in || d.coin()) s->after_add = norm();
    }
    stack.blocks.push_back(block);
  }
  if (d.coin()) stack.final_norm = norm();
  if (d.upto(3) == 0)
    for (int e = 0; e < layers + 2; ++e) stack.schedule.push_back(d.upto(layers));
  (causal ? spec.decoder : spec.encoder) = stack;

  LmHead head;
  head.predicts = causal ? Predicts::next : Predicts::same;
  if (d.coin()) head.transform = Transform{Activation::gelu, norm(), 0, d.coin()};
  head.bias = d.coin();
  if (d.coin()) head.scale = 0.7;
  spec.ties.lm_head = d.coin();
  if (spec.embed.inner > 0) {  // a tied decoder is as wide as the table
    if (spec.ties.lm_head && !head.transform) head.transform = Transform{Activation::gelu, norm()};
    if (head.transform) head.transform->width = spec.embed.inner;
  }
  spec.heads = {head};
  if (causal && d.upto(3) == 0) {
    const StackSpec module{{stack.blocks.back()}, norm()};
    spec.multi_token =
        MultiToken{std::vector(static_cast<size_t>(d.between(1, 2)), module), norm()};
  }
  return spec;
}

// A decoder behind an encoder: blocks with and without cross attention, and now and then one table
// of distances for all blocks of a stack.
inline ModelSpec random_spec_of_both(uint64_t seed) {
  ModelSpec spec = random_spec(seed, true);
  spec.encoder = random_spec(seed + 500, false).encoder;
  Draw d(seed + 700);
  spec.decoder_start = d.upto(spec.embed.vocab);
  for (BlockSpec& block : spec.decoder->blocks) {
    if (&block != &spec.decoder->blocks.back() && d.upto(3) == 0) continue;
    Attention& cross = block.cross.emplace();
    cross.kv_heads = d.between(1, 3);
    cross.heads = cross.kv_heads * d.between(1, 3);
    cross.head_size = d.between(3, 12);
    cross.scale = 1 / std::sqrt(static_cast<double>(cross.head_size));
    cross.q_bias = d.coin(), cross.k_bias = d.coin(), cross.v_bias = d.coin();
    cross.out_bias = d.coin();
    block.x.in = Norm{d.coin() ? NormKind::rms : NormKind::layer, 1e-6};
    if (d.coin()) block.x.after_add = block.x.in;
  }
  for (StackSpec* stack : {&*spec.encoder, &*spec.decoder}) {
    if (d.coin()) continue;
    const bool causal = stack == &*spec.decoder;
    const RelativeBuckets shared{!causal, 8, d.between(9, 30), true};
    const int heads = d.between(1, 4);
    for (BlockSpec& block : stack->blocks)
      if (auto* attention = std::get_if<Attention>(&block.mixer)) {
        attention->position = shared;
        attention->heads = attention->kv_heads = heads;
      }
  }
  return spec;
}

// Sequences of odd lengths, one of a single token.
inline std::vector<Ints> random_sequences(uint64_t seed, int vocab) {
  Draw d(seed + 1000);
  std::vector<Ints> sequences;
  for (int length : {d.between(2, 17), 1, d.between(2, 40), d.between(2, 9)}) {
    Ints ids;
    for (int i = 0; i < length; ++i) ids.push_back(d.upto(vocab));
    sequences.push_back(ids);
  }
  return sequences;
}

}  // namespace stemma
