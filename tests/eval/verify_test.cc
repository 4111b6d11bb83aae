// Every committed reference case holds, and a case that is wrong does not.
#include "eval/verify.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/file.h"
#include "base/json.h"
#include "eval/case.h"
#include "model/safetensors.h"
#include "run/engine.h"
#include "support/temp_dir.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

const fs::path kCases = fs::path(STEMMA_SOURCE_DIR) / "tests" / "cases";

class Cases : public testing::TestWithParam<fs::path> {};

TEST_P(Cases, Hold) {
  Engine engine(1);
  Ctx c = engine.ctx();
  int results = 0;
  verify_case(c, GetParam(), [&](const Verdict& v) {
    ++results;
    EXPECT_TRUE(v.ok) << v.name << ": error " << v.error << ", limit " << v.limit << " "
                      << v.detail;
  });
  EXPECT_GT(results, 0);
}

std::string name_of(const testing::TestParamInfo<fs::path>& info) {
  std::string name = info.param.lexically_relative(kCases).string();
  for (char& ch : name)
    if (!std::isalnum(static_cast<unsigned char>(ch))) ch = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Committed, Cases, testing::ValuesIn(find_cases(kCases)), name_of);

// A copy of a case whose recorded logits are off by one part in a thousand must fail, and only
// there.
TEST(Verify, SeesAWrongOutput) {
  const TempDir dir;
  const fs::path copy = dir.path() / "case";
  fs::copy(kCases / "llama" / "causal", copy, fs::copy_options::recursive);
  const fs::path outputs = copy / "outputs.safetensors";
  std::vector<std::vector<uint8_t>> bytes;
  std::vector<TensorEntry> entries;
  {
    const TensorFiles files = TensorFiles::open(outputs);
    bytes.reserve(files.tensors().size());
    for (const StoredTensor& t : files.tensors()) {
      bytes.emplace_back(t.bytes.begin(), t.bytes.end());
      if (t.name == "logits")
        for (size_t i = 0; i + 4 <= bytes.back().size(); i += 4) {
          float v;
          std::memcpy(&v, &bytes.back()[i], 4);
          v *= 1.001f;
          std::memcpy(&bytes.back()[i], &v, 4);
        }
      entries.push_back(tensor_entry(t.name, t.dtype, t.shape, bytes.back()));
    }
  }
  write_safetensors(outputs, entries);
  Engine engine(1);
  Ctx c = engine.ctx();
  std::vector<std::string> failed;
  EXPECT_FALSE(verify_case(c, copy, [&](const Verdict& v) {
    if (!v.ok) failed.push_back(v.name);
  }));
  EXPECT_EQ(failed, std::vector<std::string>{"logits"});
}

TEST(Verify, WhatCannotBeComputedFails) {
  const TempDir dir;
  const fs::path copy = dir.path() / "case";
  fs::copy(kCases / "bert" / "base", copy, fs::copy_options::recursive);
  Json config = Json::parse_file(copy / "model" / "config.json");
  config.set("hidden_size", 37);
  write_file(copy / "model" / "config.json", config.dump());
  Engine engine(1);
  Ctx c = engine.ctx();
  int results = 0;
  EXPECT_FALSE(verify_case(c, copy, [&](const Verdict& v) {
    ++results;
    EXPECT_FALSE(v.ok);
    EXPECT_FALSE(v.detail.empty());
  }));
  EXPECT_GT(results, 0);
}

}  // namespace
}  // namespace stemma
