// `stemma bench` as a script sees it: the keys of a row, rows that are not run, bad input. Times
// are whatever they are.
#include <gtest/gtest.h>

#include "support/run_stemma.h"

namespace stemma {
namespace {

const std::string kCases = std::string(STEMMA_SOURCE_DIR) + "/tests/cases/";
const std::string kQuick = " --json --seconds 0 --threads 1";

// Every row has the same keys in the same order, whether it was run or not.
void expect_row(const Json& row) {
  const char* const keys[] = {"work",  "shape", "dtype",   "level", "threads",
                              "value", "unit",  "ceiling", "share", "spread"};
  ASSERT_GE(row.members().size(), std::size(keys)) << row.dump();
  for (size_t i = 0; i < std::size(keys); ++i) EXPECT_EQ(row.members()[i].first, keys[i]);
  for (const char* key : {"value", "ceiling", "share", "spread"}) {
    EXPECT_EQ(row.at(key).is_null(), row.has("not_run")) << row.dump();
    if (!row.has("not_run")) {
      EXPECT_GE(row.at(key).as_double(), 0);
    }
  }
}

TEST(CliBench, OneObjectARow) {
  for (const char* work : {"machine --filter multiply-add", "gemm --shapes 512x5x7,513x1x1",
                           "attention --filter 'forward 16x128 H12/12 D64 f32'"}) {
    const Result r = run(cat("bench ", work, kQuick));
    ASSERT_EQ(r.status, 0) << r.err;
    ASSERT_FALSE(r.objects().empty()) << work;
    for (const Json& row : r.objects()) expect_row(row);
  }
}

TEST(CliBench, EveryLevelThatTheMachineHas) {
  const Result r = run("bench gemm --shapes 512x4x4 --isa all --filter f32" + kQuick);
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.objects().front().at("level").as_string(), "scalar");
  const Result one = run("bench gemm --shapes 512x4x4 --isa scalar --filter f32" + kQuick);
  ASSERT_EQ(one.objects().size(), 1u) << one.err;
}

TEST(CliBench, ModelsFromAConfigAndBuiltIn) {
  const Result tiny = run("bench model " + kCases + "llama/causal/model/config.json" + kQuick);
  ASSERT_EQ(tiny.status, 0) << tiny.err;
  bool trained = false, refused = false;
  for (const Json& row : tiny.objects()) {
    expect_row(row);
    trained = trained || (row.at("work").as_string() == "train step" && !row.has("not_run"));
    if (row.at("work").as_string() == "prompt" && row.at("dtype").as_string() == "f32") {
      refused = row.has("not_run");
      ASSERT_TRUE(refused) << "a prompt of 512 does not fit the model";
      EXPECT_NE(row.at("not_run").as_string().find("positions"), std::string::npos);
    }
  }
  EXPECT_TRUE(trained);
  EXPECT_TRUE(refused);
  const Result config = run("bench model bert-base --config");
  ASSERT_EQ(config.status, 0) << config.err;
  EXPECT_EQ(config.objects().at(0).at("hidden_size").as_int(), 768);
}

TEST(CliBench, BadInput) {
  EXPECT_EQ(run("bench").status, 2);
  EXPECT_EQ(run("bench nonsense").status, 2);
  EXPECT_EQ(run("bench model").status, 2);
  EXPECT_EQ(run("bench model no-such-model").status, 3);
  for (const char* shapes : {"3x4", "3x4x", "0x4x4", "3x4x5,", "3x4x5x6", "axbxc", "9999999x1x1"}) {
    const Result r = run(cat("bench gemm --shapes ", shapes));
    EXPECT_EQ(r.status, 2) << shapes;
    EXPECT_EQ(r.out, "");
    EXPECT_NE(r.err.find("512x768x3072"), std::string::npos) << r.err;
  }
  const Result level = run("bench gemm --isa nonsense");
  EXPECT_EQ(level.status, 2);
  EXPECT_NE(level.err.find("scalar"), std::string::npos) << level.err;
}

}  // namespace
}  // namespace stemma
