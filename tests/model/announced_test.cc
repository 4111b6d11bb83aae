// Systems whose weights are not loaded yet: their specs can be written down with what there is, so
// that adding them changes no type. Sizes are those of published models.
#include <gtest/gtest.h>

#include "model/fields.h"
#include "model/model.h"
#include "tensor/ctx.h"

namespace stemma {
namespace {

ModelSpec decoder_of(int vocab, int width, std::vector<BlockSpec> blocks,
                     std::optional<Norm> final_norm) {
  ModelSpec spec;
  spec.embed.vocab = vocab;
  spec.embed.width = width;
  spec.decoder = StackSpec{std::move(blocks), final_norm};
  spec.heads = {LmHead{}};
  spec.max_positions = 1024;
  return spec;
}

// RWKV-4 169M: a layer is two blocks without feed-forward, since its channel mix sees the token
// before as well; the first norm belongs to the embeddings.
ModelSpec rwkv4() {
  const Norm norm{NormKind::layer, 1e-5};
  std::vector<BlockSpec> blocks;
  for (int layer = 0; layer < 12; ++layer)
    for (const Mixer& mixer : {Mixer(Wkv{768, 768}), Mixer(ChannelMix{768, 3072})}) {
      BlockSpec block;
      block.mixer = mixer;
      block.mix.in = norm;
      block.ffn = NoFfn{};
      blocks.push_back(block);
    }
  ModelSpec spec = decoder_of(50277, 768, blocks, norm);
  spec.embed.norm = norm;
  return spec;
}

ModelSpec s4() {
  BlockSpec block;
  block.mixer = S4{.channels = 1024, .steps = {}};
  block.mix.in = Norm{};
  block.ff.in = Norm{};
  block.ffn = Mlp{4096, Activation::gelu, true};
  return decoder_of(267735, 1024, std::vector<BlockSpec>(16, block), Norm{});
}

ModelSpec ttt() {
  Ttt mixer{.heads = 12, .head_size = 64, .position = {}};
  mixer.position.width = 64;
  BlockSpec block;
  block.mixer = mixer;
  block.mix.in = block.ff.in = Norm{NormKind::rms, 1e-6};
  block.ffn = Glu{2048};
  return decoder_of(32000, 768, std::vector<BlockSpec>(12, block), Norm{NormKind::rms, 1e-6});
}

// ELMo: two layers, each direction on its half of 1,024 numbers; the second adds what went in.
ModelSpec elmo() {
  BlockSpec block;
  block.mixer = Lstm{4096, 512, true, 3, 3};
  block.ffn = NoFfn{};
  ModelSpec spec = decoder_of(793471, 1024, {block, block}, std::nullopt);
  spec.characters = Characters{.filter_widths = {1, 2, 3, 4, 5, 6, 7},
                               .filters = {32, 32, 64, 128, 256, 512, 1024}};
  return spec;
}

ModelSpec gpt_oss_20b() {
  const Norm norm{NormKind::rms, 1e-5};
  RopeYarn yarn;
  yarn.factor = 32;
  yarn.original = 4096;
  yarn.truncate = false;
  std::vector<BlockSpec> blocks;
  for (int layer = 0; layer < 24; ++layer) {
    Attention a;
    a.heads = 64, a.kv_heads = 8, a.head_size = 64;
    a.causal = true;
    a.window = layer % 2 == 0 ? 128 : 0;
    a.q_bias = a.k_bias = a.v_bias = a.out_bias = true;
    a.sinks = true;
    a.position = Rope{150000, 64, false, yarn};
    Experts experts;
    experts.routing.experts = 32;
    experts.routing.chosen = 4;
    experts.inner = 2880;
    experts.bias = true;
    experts.clamp = ClampedGate{};
    BlockSpec block;
    block.mixer = a;
    block.mix.in = block.ff.in = norm;
    block.ffn = experts;
    blocks.push_back(block);
  }
  return decoder_of(201088, 2880, blocks, norm);
}

// Gemma 3, small: five local layers to a global one, with a rotation each; norms on both sides.
ModelSpec gemma3(int width, int layers) {
  const Norm norm{NormKind::rms, 1e-6, true, true};
  std::vector<BlockSpec> blocks;
  for (int layer = 0; layer < layers; ++layer) {
    const bool global = layer % 6 == 5;
    Attention a;
    a.heads = 4, a.kv_heads = 1, a.head_size = 16;
    a.causal = true;
    a.window = global ? 0 : 8;
    a.scale = 0.25;
    a.qk_norm = norm;
    a.softcap = 30;
    a.sinks = global;
    a.position = Rope{global ? 1e6 : 1e4, 16, false, {}};
    BlockSpec block;
    block.mixer = a;
    block.mix.in = block.mix.out = block.ff.in = block.ff.out = norm;
    block.ffn = Glu{4 * width, Activation::gelu_tanh};
    blocks.push_back(block);
  }
  ModelSpec spec = decoder_of(101, width, blocks, norm);
  spec.embed.scale = 5.5;
  LmHead head;
  head.softcap = 20;
  spec.heads = {head};
  spec.ties.lm_head = true;
  return spec;
}

ModelSpec smolvlm() {
  Attention seeing;
  seeing.heads = seeing.kv_heads = 12, seeing.head_size = 64;
  BlockSpec block;
  block.mixer = seeing;
  block.mix.in = block.ff.in = Norm{NormKind::layer, 1e-6};
  block.ffn = Mlp{3072, Activation::gelu_tanh, true};
  ModelSpec spec = gemma3(576, 30);
  Pictures pictures;
  pictures.encoder = StackSpec{std::vector<BlockSpec>(12, block), Norm{NormKind::layer, 1e-6}};
  pictures.width = 768, pictures.size = 512, pictures.patch = 16;
  pictures.shuffle = 4;
  pictures.token = 49190;
  spec.pictures = pictures;
  return spec;
}

TEST(Announced, SpecsAreWrittenDownAndLayersRefused) {
  for (const ModelSpec& spec : {rwkv4(), s4(), ttt(), elmo(), gpt_oss_20b(), smolvlm()}) {
    const ModelSpec copy = spec;
    EXPECT_EQ(to_json(copy), to_json(spec));
    try {
      Model model(spec);
      ADD_FAILURE() << "a model of " << to_json(spec).dump().substr(0, 200);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::kUnsupported) << e.what();
      EXPECT_NE(std::string(e.what()).find("not yet computed"), std::string::npos) << e.what();
    }
  }
}

TEST(Announced, TheirStateIsKnown) {
  const std::vector<StateSpec> states = state_specs(rwkv4());
  ASSERT_EQ(states.size(), 12u * 3);
  EXPECT_EQ(std::get<RecurrentSpec>(states[1]).shape, (Shape{3, 768}));
  EXPECT_EQ(state_specs(gpt_oss_20b()).size(), 24u);
}

// What needs no new layer runs: sinks, soft caps, scales kept as w - 1.
TEST(Announced, KernelsAreTheDefinition) {
  Team team(1);
  Pool pool;
  Ctx c{&team, &pool};
  Model model(gemma3(24, 6));
  model.params().make_flat(c, 3, false);
  float* values = model.params().values().data<float>();
  const RngKey key = RngKey(4).of("move");
  for (int64_t i = 0; i < model.params().elements(); ++i)
    values[i] += static_cast<float>(0.2 * key.normal(static_cast<uint64_t>(i)));
  model.params().refresh(c);
  Batch batch;
  for (int length : {17, 1, 9}) {
    Ints ids;
    for (int t = 0; t < length; ++t) ids.push_back((7 * t + length) % 101);
    batch.main.append(ids);
  }
  Ctx defined = c;
  defined.kernels = false;
  const auto logits = [&](Ctx& how) {
    return model.head<LmHeadLayer>()->logits(how, model.forward(how, batch)).to_vector<float>();
  };
  const std::vector<float> kernels = logits(c), definition = logits(defined);
  for (size_t i = 0; i < kernels.size(); ++i) {
    EXPECT_NEAR(kernels[i], definition[i], 2e-4);
    EXPECT_LT(std::abs(kernels[i]), 20);
  }
}

}  // namespace
}  // namespace stemma
