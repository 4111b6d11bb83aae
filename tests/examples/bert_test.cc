// examples/bert_in_200_lines.cc gives what the model class gives, and fits its name.
#include <gtest/gtest.h>

#include <fstream>

#include "eval/case.h"
#include "model/checkpoint.h"
// The example, whose main() is not the test's.
#define main example_main
#include "../../examples/bert_in_200_lines.cc"
#undef main

namespace stemma {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = STEMMA_SOURCE_DIR;

TEST(BertExample, GivesTheBitsOfTheModel) {
  const fs::path folder = kSource / "tests/cases/bert/base";
  Team team(1);
  Pool pool;
  Ctx c{.team = &team, .pool = &pool};
  const CaseInputs inputs(TensorFiles::open(folder / "inputs.safetensors"));
  const Stream& main = inputs.batch().main;
  example::Batch batch;
  for (size_t s = 0; s + 1 < main.start.size(); ++s) {
    const auto part = [&](const Ints& all) {
      return Ints(all.begin() + main.start[s], all.begin() + main.start[s + 1]);
    };
    batch.add(part(main.ids), part(main.types));
  }
  EXPECT_EQ(batch.start, main.start);
  const Tensor ours = example::Bert(c, folder / "model")(c, batch);
  const Tensor model = load_checkpoint(c, folder / "model").model->forward(c, inputs.batch());
  EXPECT_EQ(ours.to_vector<float>(), model.to_vector<float>());
}

TEST(BertExample, ComparesSentences) {
  const std::string directory = kSource / "tests/cases/sentence_transformers/mean/model";
  testing::internal::CaptureStdout();
  const int status = example::run(directory, {"a b", "a b", "c"});
  const std::string printed = testing::internal::GetCapturedStdout();
  EXPECT_EQ(status, 0);
  EXPECT_EQ(printed.substr(0, 12), " 1.000 1.000") << printed;
}

TEST(BertExample, HasAtMost200Lines) {
  std::ifstream in(kSource / "examples/bert_in_200_lines.cc");
  int lines = 0;
  for (std::string line; std::getline(in, line);) ++lines;
  EXPECT_GT(lines, 100);
  EXPECT_LE(lines, 200);
}

}  // namespace
}  // namespace stemma
