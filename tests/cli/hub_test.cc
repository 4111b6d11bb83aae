// pull, models and rm as a script sees them, against a hub on this machine.
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <sstream>
#include <thread>

#include "base/file.h"
#include "base/json.h"
#include "support/hub_home.h"
#include "support/mock_hub.h"

extern char** environ;

namespace stemma {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class CliHub : public testing::Test {
 protected:
  CliHub() {
    const fs::path model =
        std::string(STEMMA_SOURCE_DIR) + "/tests/cases/sentence_transformers/mean/model";
    hub.files.clear();
    for (const auto& entry : fs::recursive_directory_iterator(model))
      if (entry.is_regular_file())
        hub.files[entry.path().lexically_relative(model).string()] = {
            read_file(entry.path()), entry.path().extension() == ".safetensors"};
    HubHome::set("HF_ENDPOINT", hub.url());
  }

  void SetUp() override {
    if (run("$stemma pull org/other") == 4) GTEST_SKIP() << err;
  }

  // Runs a shell command in which $stemma is the program; gives its exit status.
  int run(const std::string& command) {
    HubHome::set("stemma", STEMMA_BINARY);
    hub.synchronise();
    const int status = std::system(cat("{ ", command, "; } >", (home.path() / "out").string(),
                                       " 2>", (home.path() / "err").string())
                                       .c_str());
    hub.synchronise();
    out = read_file(home.path() / "out");
    err = read_file(home.path() / "err");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  HubHome home;
  MockHub hub;
  std::string out, err;
};

TEST_F(CliHub, PullUseListRemove) {
  EXPECT_EQ(run("echo text | $stemma embed org/name"), 3);
  EXPECT_NE(err.find("`stemma pull org/name` fetches it"), std::string::npos) << err;
  EXPECT_EQ(run("$stemma models --json"), 0);
  EXPECT_EQ(out, "");

  ASSERT_EQ(run("$stemma pull hf://org/name --json"), 0) << err;
  const Json pulled = Json::parse(out);
  EXPECT_EQ(pulled.at("name").as_string(), "org/name");
  EXPECT_EQ(pulled.at("commit").as_string(), hub.commit);
  EXPECT_EQ(pulled.at("files").size(), hub.files.size());
  EXPECT_EQ(pulled.at("received"), pulled.at("bytes"));
  EXPECT_EQ(err, "") << "no bar where standard error is no terminal";

  ASSERT_EQ(run("echo text | $stemma embed org/name --json"), 0) << err;
  const std::string by_name = out;
  ASSERT_EQ(run("echo text | $stemma embed " + pulled.at("path").as_string() + " --json"), 0);
  EXPECT_EQ(out, by_name);
  ASSERT_EQ(run("$stemma inspect org/name@main"), 0) << err;

  ASSERT_EQ(run("$stemma models --json"), 0);
  const Json listed = Json::parse(out);
  EXPECT_EQ(listed.at("name").as_string(), "org/name");
  EXPECT_EQ(listed.at("refs"), Json::array({"main"}));
  EXPECT_EQ(listed.at("bytes"), pulled.at("bytes"));
  EXPECT_TRUE(listed.at("complete").as_bool());
  ASSERT_EQ(run("$stemma models"), 0);
  EXPECT_EQ(out.substr(0, 4), "NAME");
  EXPECT_NE(out.find("org/name  main 0123456"), std::string::npos) << out;

  ASSERT_EQ(run("$stemma rm org/name --json"), 0) << err;
  EXPECT_GE(Json::parse(out).at("freed").as_int(), pulled.at("bytes").as_int());
  EXPECT_EQ(run("$stemma rm org/name"), 3);
  EXPECT_NE(err.find("stemma models"), std::string::npos) << err;
}

TEST_F(CliHub, ExitStatus) {
  EXPECT_EQ(run("$stemma pull"), 2);
  EXPECT_EQ(run("$stemma pull ../name"), 2);
  EXPECT_EQ(run("$stemma rm /tmp"), 2);
  EXPECT_EQ(run("$stemma pull org/other"), 3);
  EXPECT_EQ(run("HF_HUB_OFFLINE=1 $stemma pull org/name"), 1);
  EXPECT_EQ(run("HF_ENDPOINT=http://127.0.0.1:1 $stemma pull org/name"), 1);
  EXPECT_EQ(out, "");
}

TEST_F(CliHub, AnInterruptedPullGoesOn) {
  const std::string content(400000, 'w');
  hub.files["model.safetensors"] = {content, true};
  const std::string etag = hub.files["model.safetensors"].etag();
  hub.fault = [&](const MockRequest& r, int number, MockAnswer& a) {
    if (r.method == "GET" && r.path == "/" + etag && number == 1) a.pause = 20ms;
  };
  std::vector<char*> arguments;
  std::string words[] = {STEMMA_BINARY, "pull", "org/name"};
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  hub.synchronise();
  ASSERT_EQ(posix_spawn(&child, STEMMA_BINARY, nullptr, nullptr, arguments.data(), environ), 0);
  const fs::path incomplete =
      home.path() / "hub" / "models--org--name" / "blobs" / (etag + ".incomplete");
  std::error_code absent;
  for (int i = 0; i < 1000; ++i) {
    const auto size = fs::file_size(incomplete, absent);
    if (!absent && size > 10000) break;
    std::this_thread::sleep_for(5ms);
  }
  kill(child, SIGINT);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  hub.synchronise();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) << "as a shell expects";
  const auto kept = fs::file_size(incomplete);
  ASSERT_GT(kept, 10000u);
  ASSERT_LT(kept, content.size());

  ASSERT_EQ(run("$stemma models"), 0);
  EXPECT_NE(out.find("without model.safetensors"), std::string::npos) << out;
  ASSERT_EQ(run("$stemma pull org/name --json"), 0) << err;
  EXPECT_EQ(Json::parse(out).at("received").as_int(), static_cast<int64_t>(content.size() - kept));
  EXPECT_EQ(hub.reads("model.safetensors").back().header("range"), cat("bytes=", kept, "-"));
}

}  // namespace
}  // namespace stemma
