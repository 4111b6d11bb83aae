// Weights that lie in a mapped file are in memory once: as they are packed. The file's own pages
// are given back, but for the rows of tables that somebody looks up.
#include <gtest/gtest.h>

#include <fstream>
#include <optional>

#include "model/checkpoint.h"
#include "run/engine.h"
#include "support/temp_dir.h"

namespace stemma {
namespace {

// Bytes of `file`'s mappings in this process that are in memory; nothing where the system does not
// tell.
std::optional<int64_t> resident_bytes(const std::filesystem::path& file) {
  std::ifstream maps("/proc/self/smaps");
  bool found = false, inside = false;
  int64_t kilobytes = 0;
  for (std::string line; std::getline(maps, line);) {
    const bool is_head = line.find(':') > line.find(' ');  // "BEGIN-END rw-p ...", not "Rss: ..."
    if (is_head) inside = line.ends_with(file.string());
    found = found || inside;
    if (inside && line.starts_with("Rss:")) kilobytes += std::stoll(line.substr(4));
  }
  return found ? std::optional(1024 * kilobytes) : std::nullopt;
}

class MappedWeights : public testing::TestWithParam<Format> {};

TEST_P(MappedWeights, AreGivenBackOncePacked) {
  Engine engine(2);
  Ctx c = engine.ctx();
  const TempDir dir;
  {
    const Checkpoint made = empty_checkpoint(Json::parse(R"({"model_type": "llama",
      "architectures": ["LlamaForCausalLM"], "hidden_size": 256, "num_attention_heads": 4,
      "num_hidden_layers": 2, "intermediate_size": 1024, "vocab_size": 4096})"));
    made.model->params().make_flat(c, 5, false);
    save_checkpoint(dir.path(), made);
  }
  const std::filesystem::path file = dir.path() / "model.safetensors";
  const auto size = static_cast<int64_t>(std::filesystem::file_size(file));
  const Checkpoint loaded = load_checkpoint(c, dir.path(), {.format = GetParam()});
  if (!resident_bytes(file)) GTEST_SKIP() << "this system does not say what is resident";
  EXPECT_LE(*resident_bytes(file), size / 20) << "nothing is read before it is needed";

  double sum = 0;
  for (const Parameter& p : loaded.model->params().all())
    for (int64_t i = 0; i < p.shape.elements(); ++i)
      sum += static_cast<double>(p.value.data<float>()[i]);
  EXPECT_NE(sum, 0);
  EXPECT_GE(*resident_bytes(file), size * 9 / 10) << "what was read is seen to be there";

  Batch batch;
  batch.main.append({1, 2, 3});
  const Tensor hidden = loaded.model->forward(c, batch);
  loaded.model->head<LmHeadLayer>()->logits(c, hidden);
  // The token embedding, a third of the file, is not packed: it was read above, and is looked up
  // in.
  const Parameter& table = loaded.model->params().all().front();
  EXPECT_LE(*resident_bytes(file), 4 * table.shape.elements() + size / 20);
}

INSTANTIATE_TEST_SUITE_P(Formats, MappedWeights, testing::Values(Format::f32, Format::int8),
                         [](const auto& test) { return format_name(test.param); });

}  // namespace
}  // namespace stemma
