#include "ops/rope.h"

#include <cmath>

#include "driver.h"

namespace stemma::ops_test {
namespace {

// inv_freq of transformers' LlamaRotaryEmbedding, every fifth of 32.
struct Reference {
  Rope rope;
  float frequencies[7];
};

TEST(Rope, FrequenciesAreTransformers) {
  const Reference references[] = {
      {{1e4, 64, false, {}},
       {1, 0.237137362f, 0.0562341288f, 0.0133352149f, 0.00316227786f, 0.000749894185f,
        0.00017782794f}},
      {{1e4, 64, false, RopeLinear{4}},
       {0.25f, 0.0592843406f, 0.0140585322f, 0.00333380373f, 0.000790569466f, 0.000187473546f,
        4.44569851e-05f}},
      {{5e5, 64, false, RopeLlama3{8, 1, 4, 8192}},
       {1, 0.128687382f, 0.0165604409f, 0.00137189368f, 3.42810235e-05f, 4.41153452e-06f,
        5.6770881e-07f}},
      {{1e6, 64, false, RopeYarn{4, 32768}},
       {1, 0.115478203f, 0.0133352149f, 0.00102661771f, 4.44569851e-05f, 5.13381246e-06f,
        5.92843435e-07f}},
  };
  for (const Reference& r : references) {
    const PoolVector<float> got = rope_frequencies(r.rope);
    ASSERT_EQ(got.size(), 32u);
    for (size_t i = 0; i < 7; ++i) EXPECT_EQ(got[5 * i], r.frequencies[i]) << i;
  }
}

TEST(Rope, AttentionFactor) {
  Rope rope{1e6, 64, false, {}};
  EXPECT_EQ(rope_attention_factor(rope), 1);
  RopeYarn yarn{4, 32768};
  rope.scaling = yarn;
  EXPECT_DOUBLE_EQ(rope_attention_factor(rope), 1.138629436111989);
  yarn.mscale = 0.707, yarn.mscale_all_dim = 1;
  rope.scaling = yarn;
  EXPECT_DOUBLE_EQ(rope_attention_factor(rope), (0.0707 * std::log(4) + 1) / 1.138629436111989);
  yarn.attention_factor = 1.5;
  rope.scaling = yarn;
  EXPECT_EQ(rope_attention_factor(rope), 1.5);
}

// cos of the same class at positions 0, 1, 7, 1000, 131071 for frequency 3.
TEST(Rope, TablesAreTransformers) {
  Team team(1);
  Pool pool;
  Ctx c{&team, &pool};
  const RopeTables t =
      rope_tables(c, {1e6, 64, false, RopeYarn{4, 32768}}, {0, 1, 7, 1000, 131071});
  const double cos[] = {1.13862943649292, 1.0962029695510864, -0.38625648617744446,
                        -0.986184298992157, -1.1374186277389526};
  for (int i = 0; i < 5; ++i) EXPECT_NEAR(t.cos.item(32 * i + 3), cos[i], 2e-7) << i;
  EXPECT_EQ(t.sin.item(3), 0);
}

TEST(Rope, RefusesWhatDoesNotFit) {
  Team team(1);
  Pool pool;
  Ctx c{&team, &pool};
  EXPECT_THROW(rope_frequencies({1e4, 63, false, {}}), Error);
  EXPECT_THROW(rope_frequencies({0, 64, false, {}}), Error);
  EXPECT_THROW(rope_frequencies({1e4, 64, false, RopeLinear{0}}), Error);
  const RopeTables tables = rope_tables(c, {1e4, 8, false, {}}, {0, 1});
  EXPECT_THROW(rope(c, Tensor::zeros(c, {2, 1, 6}), tables), Error);  // wider than the head
  EXPECT_THROW(rope(c, Tensor::zeros(c, {3, 1, 8}), tables), Error);  // other tokens
}

}  // namespace
}  // namespace stemma::ops_test
