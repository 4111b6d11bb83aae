// stemma chat and stemma template render, as a script sees them, on a tiny Llama that is given a
// tokenizer of single characters and a chat template.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/file.h"
#include "base/json.h"
#include "support/temp_dir.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

class ChatCli : public testing::Test {
 protected:
  void SetUp() override {
    const fs::path source =
        fs::path(STEMMA_SOURCE_DIR) / "tests" / "cases" / "llama" / "causal" / "model";
    fs::copy(source, dir_ / "model");
    Json vocab = Json::object();
    for (char c = '('; vocab.size() < 80; ++c) vocab.set(std::string(1, c), vocab.size());
    Json model = Json::parse(R"({"type": "BPE", "merges": []})");
    model.set("vocab", vocab);
    Json file = Json::parse(
        R"({"version": "1.0", "added_tokens": [{"id": 80, "content": "<end>", "special": true}]})");
    file.set("model", model);
    write_file(dir_ / "model" / "tokenizer.json", file.dump());
    write_file(dir_ / "model" / "chat_template.jinja",
               "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}<end>{% endfor %}"
               "{{ 'a:' if add_generation_prompt }}{{ suffix }}");
  }

  struct Result {
    int status;
    std::string out, err;
  };
  Result run(const std::string& arguments, const std::string& input) {
    write_file(dir_ / "in", input);
    const std::string command = cat(STEMMA_BINARY, " ", arguments, " <", (dir_ / "in").string(),
                                    " >", (dir_ / "out").string(), " 2>", (dir_ / "err").string());
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(dir_ / "out"),
            read_file(dir_ / "err")};
  }
  std::string model() const { return (dir_ / "model").string(); }

  TempDir dir_;
};

TEST_F(ChatCli, TemplateRender) {
  const std::string messages = R"([{"role": "user", "content": "Hi<end>"}])";
  Result r = run("template render " + model() + " --add-generation-prompt suffix=!", messages);
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, "u:Hi<end><end>a:!\n");
  r = run("template render --json " + model(), messages);
  ASSERT_EQ(r.status, 0) << r.err;
  const Json object = Json::parse(r.out);
  EXPECT_EQ(object.at("rendered").as_string(), "u:Hi<end><end>");
  // The user's <end> is text, the template's is the token.
  EXPECT_EQ(object.at("ids").size(), 2 + 2 + 5 + 1u);
  EXPECT_EQ(object.at("ids").items().back().as_int(), 80);
  EXPECT_EQ(run("template render " + model() + " nonsense", messages).status, 2);
  EXPECT_EQ(run("template show " + model(), messages).status, 2);
  EXPECT_EQ(run("template render " + model(), "[").status, 1);
  fs::remove(dir_ / "model" / "chat_template.jinja");
  EXPECT_EQ(run("template render " + model(), messages).status, 3);
}

TEST_F(ChatCli, ManyPromptsAreAnsweredInTheirOrder) {
  const std::string lines = "one\nten times ten\n5\n";
  const Result together = run("generate --json --logprobs -n 7 --prompts - " + model(), lines);
  ASSERT_EQ(together.status, 0) << together.err;
  std::string alone;
  std::istringstream prompts(lines);
  for (std::string line; std::getline(prompts, line);)
    alone += run("generate --json --logprobs -n 7 " + model(), line).out;
  EXPECT_EQ(together.out, alone);
  const Json first = Json::parse(alone.substr(0, alone.find('\n')));
  EXPECT_EQ(first.at("logprobs").size(), first.at("ids").size());
  EXPECT_EQ(run("generate --prompts /no/such/file " + model(), "").status, 3);
  EXPECT_EQ(run("generate --state-memory -1 " + model() + " x", "").status, 2);
}

TEST_F(ChatCli, ConversationFromAPipe) {
  const std::string lines = "one\n\ntwo\n/clear\none\n/exit\nthree\n";
  const Result r = run("chat --json --greedy -n 4 " + model(), lines);
  ASSERT_EQ(r.status, 0) << r.err;
  std::vector<Json> replies;
  std::istringstream out(r.out);
  for (std::string line; std::getline(out, line);) replies.push_back(Json::parse(line));
  ASSERT_EQ(replies.size(), 3u);
  for (const Json& reply : replies) EXPECT_EQ(reply.at("role").as_string(), "assistant");
  // Forgetting leads back to the first reply.
  EXPECT_EQ(replies[0], replies[2]);
  const Result human = run("chat --greedy -n 4 " + model(), lines);
  EXPECT_EQ(human.out, replies[0].at("content").as_string() + "\n" +
                           replies[1].at("content").as_string() + "\n" +
                           replies[2].at("content").as_string() + "\n");
}

}  // namespace
}  // namespace stemma
