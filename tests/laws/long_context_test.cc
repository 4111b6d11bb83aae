// Long sequences: the memory of a forward grows with their length, and no faster.
#include <gtest/gtest.h>

#include "laws/laws.h"
#include "model/checkpoint.h"

namespace stemma {
namespace {

int64_t peak_bytes(Ctx& c, const Model& model, size_t length) {
  Pool pool;
  Ctx own = c;
  own.pool = &pool;
  Batch batch;
  batch.main.append(Ints(length, 7));
  model.forward(own, batch);
  return pool.peak_bytes();
}

TEST(LongContext, MemoryIsLinearInLength) {
  for (const char* config :
       {R"({"model_type": "modernbert", "hidden_size": 48, "num_attention_heads": 4,
            "intermediate_size": 64, "num_hidden_layers": 4, "vocab_size": 64})",
        R"({"model_type": "gpt2", "n_embd": 48, "n_head": 4, "n_layer": 2, "vocab_size": 64,
            "n_positions": 8192})"}) {
    Engine engine(2);
    Ctx c = engine.ctx();
    const Checkpoint checkpoint = empty_checkpoint(Json::parse(config));
    checkpoint.model->params().make_flat(c, 1, false);
    peak_bytes(c, *checkpoint.model, 64);  // packs the weights
    const auto at = [&](size_t n) {
      return static_cast<double>(peak_bytes(c, *checkpoint.model, n));
    };
    const double short_one = at(1024), long_one = at(8192);
    EXPECT_LT(long_one, 8.5 * short_one) << config;
    // Nothing like the 8192 x 8192 scores of one head is ever there.
    EXPECT_LT(long_one, 8192.0 * 8192 * 4 / 8) << config;
  }
}

}  // namespace
}  // namespace stemma
