// The machine interface, as a script sees it: exit status, objects on standard output, everything
// else on standard error. Runs the built program on the committed cases' tiny models.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "support/run_stemma.h"
#include "support/temp_dir.h"

namespace stemma {
namespace {

const std::string kCases = std::string(STEMMA_SOURCE_DIR) + "/tests/cases/";

TEST(Cli, HelpNamesEveryVerbAndGroup) {
  const Result r = run("--help");
  EXPECT_EQ(r.status, 0);
  for (const char* word : {"embed", "fill", "generate", "score", "search", "inspect", "verify",
                           "train", "bench", "Run a model", "Exit status"})
    EXPECT_NE(r.out.find(word), std::string::npos) << word;
  for (const char* verb :
       {"embed", "fill", "generate", "score", "search", "inspect", "verify", "train", "bench"}) {
    const Result help = run(std::string(verb) + " --help");
    EXPECT_EQ(help.status, 0) << verb;
    EXPECT_NE(help.out.find("--threads"), std::string::npos) << verb;
    EXPECT_NE(help.out.find("--json"), std::string::npos) << verb;
  }
}

TEST(Cli, ExitStatus) {
  EXPECT_EQ(run("--version").status, 0);
  EXPECT_EQ(run("nonsense").status, 2);
  EXPECT_EQ(run("embed").status, 2);
  EXPECT_EQ(run("generate " + kCases + "llama/causal/model --ids 1,x").status, 2);
  EXPECT_EQ(run("generate " + kCases + "llama/causal/model --ids 1 --top-p 3").status, 2);
  EXPECT_EQ(run("embed /no/such/model", "text\n").status, 3);
  EXPECT_EQ(run("verify /no/such/folder").status, 3);
  EXPECT_EQ(run("inspect " + kCases + "text").status, 3);
  EXPECT_EQ(run("generate " + kCases + "llama/causal/model --ids 100000").status, 1);
  EXPECT_EQ(run("generate " + kCases + "bert/base/model --ids 1").status, 1);
}

TEST(Cli, UnsupportedFamiliesExitWithFour) {
  const TempDir dir;
  for (
      const char* config :
      {R"({"model_type": "perceptron"})",
       R"({"model_type": "bert", "architectures": ["JinaBertModel"], "position_embedding_type": "alibi", "feed_forward_type": "geglu"})",
       R"({"model_type": "bert", "alibi_starting_size": 512, "architectures": ["BertForMaskedLM"]})"}) {
    write_file(dir / "config.json", config);
    for (const char* verb : {"inspect", "embed", "generate"}) {
      const Result r = run(cat(verb, " ", dir.path().string()), "x\n");
      EXPECT_EQ(r.status, 4) << verb << " " << config << r.err;
      EXPECT_EQ(r.out, "");
      EXPECT_EQ(r.err.substr(0, 8), "stemma: ") << r.err;
    }
  }
}

TEST(Cli, EmbedWritesAnObjectALine) {
  const std::string model = kCases + "sentence_transformers/mean/model";
  const Result r = run("embed " + model + " --json", "hello\n\nthe cat sat\n");
  ASSERT_EQ(r.status, 0) << r.err;
  const auto objects = r.objects();
  ASSERT_EQ(objects.size(), 3u);  // an empty line is a text too
  for (const Json& o : objects) EXPECT_GT(o.at("embedding").size(), 0u);
  EXPECT_EQ(run("embed " + model + " --json --threads 1", "the cat sat\n").out,
            objects[2].dump() + "\n")
      << "a text's vector does not depend on its company or on threads";
  EXPECT_EQ(run("embed " + model, "").out, "");
}

TEST(Cli, GenerateTakesIdsAndIsReproducible) {
  const std::string model = kCases + "llama/causal/model";
  const Result r = run("generate " + model + " --ids 60,64,14,16,47 -n 14 --greedy --json");
  ASSERT_EQ(r.status, 0) << r.err;
  const Json o = r.objects().at(0);
  const Json expected = Json::parse_file(kCases + "llama/causal/generate.json");
  EXPECT_EQ(o.at("ids"), expected.at("greedy").at(size_t{0}));
  EXPECT_EQ(o.at("finish_reason").as_string(), "stop");
  EXPECT_TRUE(o.at("text").is_string());
  const std::string sampled =
      "generate " + model + " --ids 60 -n 9 --ignore-eos --temperature 1.5 --json --seed ";
  EXPECT_EQ(run(sampled + "7").out, run(sampled + "7 --threads 1").out);
  EXPECT_NE(run(sampled + "7").out, run(sampled + "8").out);
  EXPECT_EQ(run(sampled + "7").objects().at(0).at("ids").size(), 9u);
}

TEST(Cli, AnOptionGivenTwiceLeavesThePositionalArgumentsAlone) {
  const Result r = run("generate --stop x --stop y " + kCases + "llama/causal/model --ids 60 -n 3");
  EXPECT_EQ(r.status, 0) << r.err;
}

TEST(Cli, VerifyReportsEachResult) {
  const Result good = run("verify --json " + kCases + "qwen3/causal");
  EXPECT_EQ(good.status, 0) << good.err;
  for (const Json& row : good.objects()) {
    for (const char* key : {"case", "name", "error", "limit", "ok"})
      EXPECT_TRUE(row.has(key)) << row.dump();
    EXPECT_TRUE(row.at("ok").as_bool());
  }
  const TempDir dir;
  std::filesystem::copy(kCases + "llama/causal", dir / "case",
                        std::filesystem::copy_options::recursive);
  std::filesystem::remove(dir / "case" / "model" / "model.safetensors");
  const Result bad = run("verify --json " + dir.path().string());
  EXPECT_EQ(bad.status, 1);
  EXPECT_GT(bad.objects().size(), 0u);
}

TEST(Cli, VerifyTraceNamesTheFirstLayerThatDiverges) {
  const Result r = run("verify --json --trace " + kCases + "bert/base");
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.objects().size(), 4u) << "the embedding and three blocks";
  for (const Json& row : r.objects()) {
    for (const char* key : {"case", "layer", "against", "error", "limit", "ok", "first"})
      EXPECT_TRUE(row.has(key)) << row.dump();
    EXPECT_FALSE(row.at("first").as_bool());
  }
}

TEST(Cli, InspectDataflowTakesAModelOrAConfig) {
  const std::string model = kCases + "bert/base/model";
  for (const std::string& source : {model, model + "/config.json"}) {
    const Result r = run("inspect --dataflow --tokens 5 --json " + source);
    ASSERT_EQ(r.status, 0) << r.err;
    ASSERT_FALSE(r.objects().empty());
    for (const Json& step : r.objects())
      for (const char* key :
           {"block", "part", "op", "kernel", "inputs", "outputs", "bytes", "seconds"})
        EXPECT_TRUE(step.has(key)) << step.dump();
  }
  const Result folded = run("inspect --dataflow --tokens 5 " + model);
  EXPECT_NE(folded.out.find("encoder.0 .. encoder.2 (x 3)"), std::string::npos) << folded.out;
  EXPECT_EQ(run("inspect --dataflow --tokens 5000 " + model).status, 1);
  EXPECT_EQ(run("inspect --dataflow --decode " + model).status, 1);
}

TEST(Cli, InspectListsTensorsByPublishedName) {
  const Result r = run("inspect --json --tensors " + kCases + "qwen3/causal_tied/model");
  ASSERT_EQ(r.status, 0) << r.err;
  const Json o = r.objects().at(0);
  EXPECT_EQ(o.at("model_type").as_string(), "qwen3");
  bool found = false;
  for (const Json& t : o.at("tensors").items())
    found = found || t.at("name").as_string() == "model.layers.0.self_attn.q_norm.weight";
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace stemma
