// The laws every model keeps, on random tiny specs: what a batch, a state, a thread count or a file
// must not change.
#include "laws/laws.h"

#include <gtest/gtest.h>

#include <cmath>

#include "autograd/tape.h"
#include "base/file.h"
#include "model/checkpoint.h"
#include "model/fields.h"
#include "support/temp_dir.h"
#include "train/objectives.h"

namespace stemma {
namespace {

TEST_P(Laws, PackedIsAlone) {
  for (Kind kind : kKinds) {
    const auto m = model(kind);
    const auto sequences = random_sequences(seed(), m->spec().embed.vocab);
    const std::vector<float> packed = m->forward(c_, batch_of(*m, sequences)).to_vector<float>();
    std::vector<float> alone;
    for (const Ints& s : sequences) {
      const std::vector<float> one = m->forward(c_, batch_of(*m, {s})).to_vector<float>();
      alone.insert(alone.end(), one.begin(), one.end());
    }
    EXPECT_EQ(packed, alone) << "bitwise, kind " << static_cast<int>(kind);
  }
}

// Gradients of the mean loss over `parts` micro-batches.
std::vector<float> gradients(Ctx& c, Model& m, const std::vector<Ints>& sequences, size_t parts) {
  m.params().zero_grads();
  const bool causal = m.spec().decoder.has_value();
  int64_t count = 0;
  for (const Ints& s : sequences) count += static_cast<int64_t>(s.size()) - (causal ? 1 : 0);
  for (size_t p = 0; p < parts; ++p) {
    const auto cut = [&](size_t part) {
      return sequences.begin() + static_cast<int64_t>(sequences.size() * part / parts);
    };
    const Batch batch = batch_of(m, std::vector<Ints>(cut(p), cut(p + 1)));
    Tape tape;
    m.params().watch(tape);
    Ctx recorded = c;
    recorded.tape = &tape;
    const Tensor hidden = m.forward(recorded, batch);
    const Ints labels = causal ? next_labels(batch.main, batch.main.ids) : batch.main.ids;
    const LossSum loss = language_loss(recorded, m, hidden, labels);
    tape.backward(recorded, loss.sum, Tensor::scalar(c, 1.0 / static_cast<double>(count)));
  }
  return m.params().grads().to_vector<float>();
}

TEST_P(Laws, AccumulationIsTheLargeBatch) {
  for (Kind kind : kKinds) {
    const auto m = model(kind);
    const auto sequences = random_sequences(seed(), m->spec().embed.vocab);
    const std::vector<float> large = gradients(c_, *m, sequences, 1);
    const std::vector<float> parts = gradients(c_, *m, sequences, 2);
    EXPECT_LE(relative(parts, large), 1e-6);
  }
}

TEST_P(Laws, ThreadsChangeNoBit) {
  Engine two(2), three(3);
  for (Kind kind : kKinds) {
    const auto m = model(kind);
    const auto sequences = random_sequences(seed(), m->spec().embed.vocab);
    const std::vector<float> forward = m->forward(c_, batch_of(*m, sequences)).to_vector<float>();
    const std::vector<float> backward = gradients(c_, *m, sequences, 1);
    for (Engine* engine : {&two, &three}) {
      Ctx c = engine->ctx();
      EXPECT_EQ(m->forward(c, batch_of(*m, sequences)).to_vector<float>(), forward);
      EXPECT_EQ(gradients(c, *m, sequences, 1), backward);
    }
  }
}

TEST_P(Laws, RematerialisationChangesNoBit) {
  for (Kind kind : kKinds) {
    const auto m = model(kind);
    const auto sequences = random_sequences(seed(), m->spec().embed.vocab);
    const std::vector<float> kept = gradients(c_, *m, sequences, 2);
    Ctx again = c_;
    again.rematerialise = true;
    EXPECT_EQ(gradients(again, *m, sequences, 2), kept);
    again.kernels = false;
    Ctx defined = c_;
    defined.kernels = false;
    EXPECT_EQ(gradients(again, *m, sequences, 2), gradients(defined, *m, sequences, 2));
  }
}

TEST_P(Laws, KernelsAreTheDefinition) {
  for (Kind kind : kKinds) {
    const auto m = model(kind);
    const auto sequences = random_sequences(seed(), m->spec().embed.vocab);
    Ctx defined = c_;
    defined.kernels = false;
    EXPECT_LE(relative(m->forward(c_, batch_of(*m, sequences)).to_vector<float>(),
                       m->forward(defined, batch_of(*m, sequences)).to_vector<float>()),
              1e-5);
    const std::vector<float> kernels = gradients(c_, *m, sequences, 1);
    const std::vector<float> definition = gradients(defined, *m, sequences, 1);
    // A model of a few channels may magnify every rounding: what one of each weight does to the
    // gradients is what an order of summation may do.
    const Tensor& weights = m->params().values();
    const RngKey key = RngKey(seed()).of("round");
    for (int64_t i = 0; i < weights.elements(); ++i)
      weights.data<float>()[i] *=
          1 + static_cast<float>(6e-8 * key.normal(static_cast<uint64_t>(i)));
    m->params().refresh(c_);
    const double rounding = relative(gradients(defined, *m, sequences, 1), definition);
    EXPECT_LE(relative(kernels, definition), std::max(1e-5, 10 * rounding));
  }
}

// Config files of every family with random sizes, through the files and back.
Json random_config(Draw& d, const Family& family) {
  const int heads = d.between(1, 4), kv = heads % 2 == 0 && d.coin() ? heads / 2 : heads;
  Json config = Json::object();
  config.set("model_type", std::string(family.model_type));
  config.set("architectures",
             Json::array({Json(std::string(family.architectures[static_cast<size_t>(
                 d.upto(static_cast<int>(family.architectures.size())))]))}));
  config.set("hidden_size", heads * d.between(2, 6));
  config.set("num_attention_heads", heads);
  config.set("num_key_value_heads", kv);
  // Sizes that other families have beside these, small ones.
  for (const auto& [key, size] :
       std::initializer_list<std::pair<const char*, int>>{{"n_routed_experts", 4},
                                                          {"num_experts_per_tok", 2},
                                                          {"n_group", 2},
                                                          {"topk_group", 1},
                                                          {"moe_intermediate_size", 5},
                                                          {"q_lora_rank", 6},
                                                          {"kv_lora_rank", 7},
                                                          {"qk_rope_head_dim", 4},
                                                          {"qk_nope_head_dim", 5},
                                                          {"v_head_dim", 3},
                                                          {"first_k_dense_replace", 1},
                                                          {"state_size", 4},
                                                          {"n_groups", 1},
                                                          {"expand", 2},
                                                          {"num_heads", heads}})
    config.set(key, size);
  if (family.model_type == "mamba2")
    config.set("head_dim", 2 * config.at("hidden_size").as_int() / heads);
  config.set("num_hidden_layers", d.between(1, 3));
  config.set("intermediate_size", d.between(3, 20));
  config.set("vocab_size", d.between(10, 40));
  config.set("max_position_embeddings", 32);
  config.set("tie_word_embeddings", d.coin());
  config.set("attention_bias", d.coin());
  config.set("mlp_bias", d.coin());
  return config;
}

TEST_P(Laws, SavedLoadedSavedIsTheSameFile) {
  const TempDir dir;
  for (const Family& family : families()) {
    Draw d(seed());
    Checkpoint fresh;
    try {
      fresh = empty_checkpoint(random_config(d, family));
    } catch (const Error& e) {
      ASSERT_EQ(e.code(), Code::kUnsupported) << e.what();  // a dialect that is refused
      continue;
    }
    fresh.model->params().make_flat(c_, seed(), false);
    const auto first = dir.path() / "first", second = dir.path() / "second";
    for (const auto& path : {first, second}) std::filesystem::create_directories(path);
    save_checkpoint(first, fresh);
    const Checkpoint loaded = load_checkpoint(c_, first);
    save_checkpoint(second, loaded);
    EXPECT_EQ(to_json(loaded.model->spec()), to_json(fresh.model->spec()));
    EXPECT_EQ(read_file(first / "model.safetensors"), read_file(second / "model.safetensors"));
    EXPECT_EQ(read_file(first / "config.json"), read_file(second / "config.json"));
  }
}

INSTANTIATE_TEST_SUITE_P(RandomSpecs, Laws, testing::Range(0, 12));

}  // namespace
}  // namespace stemma
