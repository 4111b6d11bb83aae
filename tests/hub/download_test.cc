#include "hub/download.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>

#include "base/error.h"
#include "base/file.h"
#include "hub/cache.h"
#include "hub/lock.h"
#include "support/hub_home.h"
#include "support/mock_hub.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr const char* kWeights = "model.safetensors";

// A hub and an empty cache; HF_ENDPOINT names the hub.
class Download : public testing::Test {
 protected:
  Download() { HubHome::set("HF_ENDPOINT", hub.url()); }

  void SetUp() override {
    try {
      Http(1);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::kUnsupported);
      GTEST_SKIP() << e.message();
    }
  }

  Pulled pull(const std::string& name = "org/name") {
    PullOptions options;
    options.first_wait = 1ms;
    options.notice = [this](std::string_view text) { notices.emplace_back(text); };
    options.progress = [this](const std::string& file, uint64_t done, uint64_t) {
      if (file == kWeights) last_done = done;
    };
    return pull_model(*parse_model_name(name), options);
  }

  // The message of the error that a pull ends with.
  std::string refusal(Code code, const std::string& name = "org/name") {
    try {
      pull(name);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.what();
      return e.message();
    }
    return "no error";
  }

  fs::path folder() const { return repo_folder("org/name"); }
  fs::path snapshot() const { return folder() / "snapshots" / hub.commit; }
  std::string etag(const std::string& file) const { return hub.files.at(file).etag(); }
  fs::path incomplete(const std::string& file) const {
    return folder() / "blobs" / (etag(file) + ".incomplete");
  }
  void expect_whole() const {
    for (const char* file : {"config.json", "tokenizer.json", kWeights})
      EXPECT_EQ(read_file(snapshot() / file), hub.files.at(file).content) << file;
    EXPECT_EQ(resolve_model("org/name"), snapshot());
    for (const auto& entry : fs::directory_iterator(folder() / "blobs"))
      EXPECT_NE(entry.path().extension(), ".incomplete") << entry.path();
  }
  // Damages the bytes of the weights' requests: `change` gets the number of the request.
  void damage(std::function<void(int, MockAnswer&)> change) {
    hub.fault = [this, change](const MockRequest& r, int number, MockAnswer& a) {
      if (r.method == "GET" && r.path == "/" + etag(kWeights)) change(number, a);
    };
  }

  HubHome home;
  MockHub hub;
  std::vector<std::string> notices;
  uint64_t last_done = 0;
};

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_F(Download, WritesTheLayout) {
  const Pulled pulled = pull();
  EXPECT_EQ(pulled.path, snapshot());
  EXPECT_EQ(pulled.commit, hub.commit);
  EXPECT_EQ(pulled.files.size(), 3u) << "pickled weights are left where they are";
  EXPECT_EQ(pulled.files.back().name, kWeights) << "weights come last";
  EXPECT_EQ(last_done, hub.files.at(kWeights).content.size());
  expect_whole();
  EXPECT_EQ(read_file(folder() / "refs" / "main"), hub.commit);
  EXPECT_EQ(fs::read_symlink(snapshot() / kWeights), "../../blobs/" + etag(kWeights));
  EXPECT_EQ(fs::read_symlink(snapshot() / "config.json"), "../../blobs/" + etag("config.json"));
  EXPECT_TRUE(
      fs::exists(hub_cache() / ".locks" / "models--org--name" / (etag(kWeights) + ".lock")));
  EXPECT_TRUE(read_file(hub_cache() / "CACHEDIR.TAG").starts_with("Signature: 8a477f597d28d172"));
}

TEST_F(Download, DoesNotFetchTwice) {
  pull();
  const size_t before = hub.server.requests().size();
  const Pulled again = pull();
  EXPECT_EQ(hub.server.requests().size(), before + 1) << "one look at the revision";
  EXPECT_EQ(again.received, 0u);
  EXPECT_FALSE(again.files[0].fetched);

  // A new commit with the same weights: only what differs.
  hub.commit = "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd";
  hub.files["config.json"].content = R"({"model_type": "llama"})";
  EXPECT_EQ(pull().received, hub.files["config.json"].content.size());
  expect_whole();
  EXPECT_EQ(read_file(folder() / "refs" / "main"), hub.commit);
}

TEST_F(Download, ModulesLieInFolders) {
  hub.files["modules.json"] = {"[]"};
  hub.files["1_Pooling/config.json"] = {"{\"pooling\": 1}"};
  hub.files["onnx/model.onnx"] = {"x"};
  pull();
  EXPECT_EQ(fs::read_symlink(snapshot() / "1_Pooling/config.json"),
            "../../../blobs/" + etag("1_Pooling/config.json"));
  EXPECT_FALSE(fs::exists(snapshot() / "onnx"));
  expect_whole();
}

TEST_F(Download, TheTokenStaysWithTheHub) {
  HubHome::set("HF_TOKEN", "hf_secret");
  pull();
  ASSERT_FALSE(hub.storage.requests().empty());
  for (const MockRequest& r : hub.server.requests())
    EXPECT_EQ(r.header("authorization"), "Bearer hf_secret") << r.path;
  for (const MockRequest& r : hub.storage.requests())
    EXPECT_EQ(r.header("authorization"), "") << r.path;
}

TEST_F(Download, TheTokenMayLieInAFile) {
  write_file(home.path() / "token", "hf_of_file\n");
  pull();
  EXPECT_EQ(hub.server.requests()[0].header("authorization"), "Bearer hf_of_file");
  HubHome::set("HF_TOKEN", "two words\r\nX-Evil: 1");
  EXPECT_TRUE(has(refusal(Code::kFailed), "token"));
}

TEST_F(Download, GoesOnAfterCuts) {
  damage([](int number, MockAnswer& a) {
    if (number <= 3) a.send = 20000;
  });
  pull();
  expect_whole();
  const auto reads = hub.reads(kWeights);
  ASSERT_EQ(reads.size(), 4u);
  EXPECT_EQ(reads[0].header("range"), "");
  EXPECT_EQ(reads[3].header("range"), "bytes=60000-");
}

TEST_F(Download, GoesOnInAnotherRun) {
  damage([](int, MockAnswer& a) { a.send = a.body.size() > 50000 ? 50010 : 0; });
  const std::string message = refusal(Code::kFailed);
  EXPECT_TRUE(has(message, "broke off at 50010 of 100003 bytes")) << message;
  EXPECT_TRUE(has(message, "goes on from there")) << message;
  EXPECT_EQ(fs::file_size(incomplete(kWeights)), 50010u);
  EXPECT_FALSE(fs::exists(folder() / "refs" / "main")) << "refs come last";
  EXPECT_THROW(resolve_model("org/name"), Error);
  const size_t before = hub.reads(kWeights).size();
  EXPECT_LE(before, 12u) << "tries are bounded";
  hub.fault = {};
  EXPECT_EQ(pull().received, 100003u - 50010);
  EXPECT_EQ(hub.reads(kWeights).at(before).header("range"), "bytes=50010-");
  expect_whole();
}

TEST_F(Download, StartsOverWhereRangesAreIgnored) {
  hub.fault = [&](const MockRequest& r, int number, MockAnswer& a) {
    if (r.method != "GET" || r.path != "/" + etag(kWeights)) return;
    a.status = 200;
    a.headers.erase("Content-Range");
    a.body = hub.files.at(kWeights).content;
    if (number == 1) a.send = 30000;
  };
  EXPECT_EQ(pull().received, 100003u + 30000 + 24) << "the small files are 24 bytes";
  expect_whole();
}

TEST_F(Download, WrongLengths) {
  // A Content-Length of less than the file: what was sent is kept, the rest is asked for.
  damage([](int number, MockAnswer& a) {
    if (number == 1) a.body.resize(70000);
  });
  pull();
  expect_whole();
  // More than announced, twice.
  remove_model({"org/name", ""});
  damage([](int, MockAnswer& a) { a.body += "more"; });
  EXPECT_TRUE(has(refusal(Code::kFailed), "damaged twice: more than its 100003 bytes"));
  // Less than announced, for ever.
  damage([](int, MockAnswer& a) { a.body = a.status == 200 ? a.body.substr(0, 9) : ""; });
  EXPECT_TRUE(has(refusal(Code::kFailed), "broke off at 9 of 100003 bytes"));
}

TEST_F(Download, DamagedBytesAreFoundAndFetchedAgain) {
  damage([](int number, MockAnswer& a) {
    if (number == 1) a.body[50000] = 'X';
  });
  pull();
  expect_whole();
  remove_model({"org/name", ""});
  damage([](int, MockAnswer& a) { a.body[50000] = 'X'; });
  const std::string message = refusal(Code::kFailed);
  EXPECT_TRUE(has(message, "damaged twice") && has(message, "SHA-256")) << message;
  EXPECT_FALSE(fs::exists(folder() / "blobs" / etag(kWeights)));
  EXPECT_FALSE(fs::exists(incomplete(kWeights))) << "not gone on with";
}

TEST_F(Download, AForeignBeginningIsThrownAway) {
  fs::create_directories(folder() / "blobs");
  write_file(incomplete(kWeights), std::string(500, 'x'));
  pull();
  expect_whole();
}

TEST_F(Download, TheContentChangesMeanwhile) {
  // The storage's ETag changes between two pieces.
  damage([](int number, MockAnswer& a) {
    if (number == 1) a.send = 30000;
    if (number > 1) a.headers["ETag"] = "\"another\"";
  });
  pull();
  expect_whole();
  EXPECT_EQ(hub.reads(kWeights).back().header("range"), "") << "pieces of two contents do not mix";
}

TEST_F(Download, TheHubChangesItsMind) {
  // Between HEAD and GET, the hub names another content.
  const std::string old = hub.files["config.json"].content;
  hub.fault = [&](const MockRequest& r, int number, MockAnswer& a) {
    if (r.path != hub.path_of("config.json")) return;
    if (r.method == "HEAD" && number == 1) a.headers["ETag"] = "\"outdated\"";
  };
  pull();
  expect_whole();
  remove_model({"org/name", ""});
  hub.fault = [&](const MockRequest& r, int number, MockAnswer& a) {
    if (r.path == hub.path_of("config.json")) a.headers["ETag"] = cat(r.method, number);
  };
  EXPECT_TRUE(has(refusal(Code::kFailed), "config.json changes on the hub"));
}

TEST_F(Download, WaitsWhenAskedTo) {
  hub.fault = [](const MockRequest&, int number, MockAnswer& a) {
    if (number > 1) return;
    a = {.status = 429, .headers = {{"Retry-After", "0"}}};
  };
  pull();
  expect_whole();

  remove_model({"org/name", ""});
  bool once = true;
  hub.fault = [&](const MockRequest&, int, MockAnswer& a) {
    if (std::exchange(once, false)) a = {.status = 429, .headers = {{"Retry-After", "1"}}};
  };
  const auto begin = std::chrono::steady_clock::now();
  pull();
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 1s);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(notices[0], "the hub asks to wait; trying again in 1 s");

  hub.commit = "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd";
  hub.fault = [](const MockRequest&, int, MockAnswer& a) {
    a = {.status = 429, .headers = {{"Retry-After", "86400"}}};
  };
  EXPECT_TRUE(has(refusal(Code::kFailed), "try again in 86400 s"));
}

TEST_F(Download, ServersRecoverOrDoNot) {
  hub.fault = [](const MockRequest&, int number, MockAnswer& a) {
    if (number <= 2) a = {.status = 503};
  };
  pull();
  expect_whole();
  hub.fault = [](const MockRequest&, int, MockAnswer& a) { a = {.status = 500}; };
  const size_t before = hub.server.requests().size();
  EXPECT_TRUE(has(refusal(Code::kFailed), "answered 500"));
  EXPECT_LE(hub.server.requests().size() - before, 6u);
}

TEST_F(Download, SilenceEnds) {
  HubHome::set("HF_HUB_DOWNLOAD_TIMEOUT", "1");
  damage([](int number, MockAnswer& a) {
    if (number == 1) a.delay = 60s;
  });
  pull();
  expect_whole();
  HubHome::set("HF_HUB_DOWNLOAD_TIMEOUT", "soon");
  EXPECT_TRUE(has(refusal(Code::kFailed), "HF_HUB_DOWNLOAD_TIMEOUT"));
}

TEST_F(Download, NamesTheHubDoesNotHave) {
  EXPECT_TRUE(has(refusal(Code::kNotFound, "org/other"), "there is no model org/other"));
  EXPECT_TRUE(has(refusal(Code::kNotFound, "org/name@v9"), "no revision \"v9\""));
  EXPECT_FALSE(fs::exists(hub_cache() / "models--org--other"));
}

TEST_F(Download, BareNamesFallBackToSentenceTransformers) {
  hub.fault = [&](const MockRequest& r, int, MockAnswer& a) {
    if (r.path == "/api/models/sentence-transformers/tiny/revision/main")
      a = {.body = cat(R"({"sha": ")", hub.commit,
                       R"(", "siblings": [{"rfilename": "config.json"}]})")};
    if (r.path == cat("/sentence-transformers/tiny/resolve/", hub.commit, "/config.json"))
      a = {.headers = {{"ETag", "abc"}}, .body = "{}"};
  };
  EXPECT_EQ(pull("tiny").repo, "sentence-transformers/tiny");
  EXPECT_EQ(resolve_model("tiny", Need::any_file),
            repo_folder("sentence-transformers/tiny") / "snapshots" / hub.commit);
}

TEST_F(Download, RevisionsGetTheirOwnRefs) {
  pull("org/name@" + hub.commit);
  EXPECT_FALSE(fs::exists(folder() / "refs")) << "a commit needs no ref";
  hub.fault = [&](const MockRequest& r, int, MockAnswer& a) {
    if (r.path == "/api/models/org/name/revision/refs%2Fpr%2F1")
      a = {.body = cat(R"({"sha": ")", hub.commit,
                       R"(", "siblings": [{"rfilename": "config.json"}]})")};
  };
  pull("org/name@refs/pr/1");
  EXPECT_EQ(read_file(folder() / "refs" / "refs" / "pr" / "1"), hub.commit);
}

TEST_F(Download, DeniedAccessSaysWhatToDo) {
  const auto deny = [&](int status, const char* code) {
    hub.fault = [=](const MockRequest&, int, MockAnswer& a) {
      a = {.status = status,
           .headers = {{"X-Error-Code", code}, {"X-Error-Message", "no\tentry \x1b[31m"}}};
    };
  };
  deny(401, "");
  EXPECT_TRUE(has(refusal(Code::kNotFound), "set HF_TOKEN"));
  deny(403, "GatedRepo");
  std::string message = refusal(Code::kFailed);
  EXPECT_TRUE(has(message, "open " + hub.url() + "/org/name in a browser")) << message;
  EXPECT_FALSE(has(message, "\x1b")) << "the server's words are made harmless";
  HubHome::set("HF_TOKEN", "hf_wrong");
  deny(401, "");
  EXPECT_TRUE(has(refusal(Code::kFailed), "does not accept the token"));
}

TEST_F(Download, OfflineMeansOffline) {
  for (const char* name : {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}) {
    HubHome::set(name, "yes");
    EXPECT_TRUE(has(refusal(Code::kFailed), name));
    ::unsetenv(name);
  }
  EXPECT_TRUE(hub.server.requests().empty());
  HubHome::set("HF_ENDPOINT", "http://127.0.0.1:1/");
  EXPECT_TRUE(has(refusal(Code::kFailed), "cannot reach http://127.0.0.1:1"));
  HubHome::set("HF_ENDPOINT", "ftp://example.org");
  EXPECT_TRUE(has(refusal(Code::kFailed), "HF_ENDPOINT"));
}

TEST_F(Download, HostileListings) {
  const auto list = [&](const std::string& sha, const std::string& file) {
    hub.fault = [=](const MockRequest& r, int, MockAnswer& a) {
      if (r.path.starts_with("/api/"))
        a = {.body = cat(R"({"sha": ")", sha, R"(", "siblings": [{"rfilename": ")", file, "\"}]}")};
    };
  };
  for (const char* file :
       {"../../escape.json", "/etc/cron.json", "a/../../b.json", "a\\\\b.json", "C:x.json", ""}) {
    list(hub.commit, file);
    EXPECT_TRUE(has(refusal(Code::kFailed), "refused")) << file;
  }
  list("../../../../tmp/x", "config.json");
  EXPECT_TRUE(has(refusal(Code::kFailed), "must be a commit"));
  hub.fault = [](const MockRequest&, int, MockAnswer& a) { a.body = "<html>"; };
  EXPECT_TRUE(has(refusal(Code::kFailed), "answer of"));
  EXPECT_FALSE(fs::exists(hub_cache()));
}

TEST_F(Download, HostileEtagsAndRedirects) {
  const auto head = [&](const MockAnswer& answer) {
    hub.fault = [=](const MockRequest& r, int, MockAnswer& a) {
      if (r.method == "HEAD") a = answer;
    };
  };
  head({.headers = {{"ETag", "\"../../../escape\""}}});
  EXPECT_TRUE(has(refusal(Code::kFailed), "no usable ETag"));
  head({});
  EXPECT_TRUE(has(refusal(Code::kFailed), "no usable ETag"));
  head({.headers = {{"ETag", "abc"}, {"X-Repo-Commit", std::string(40, 'f')}}});
  EXPECT_TRUE(has(refusal(Code::kFailed), "belongs to commit ffff"));
  head({.status = 302, .headers = {{"Location", "/round"}}});
  EXPECT_TRUE(has(refusal(Code::kFailed), "redirects without end"));
  head({.status = 302, .headers = {{"Location", "file:///etc/passwd"}}});
  EXPECT_NE(refusal(Code::kFailed), "no error");
}

TEST_F(Download, RenamedModelsAreFollowed) {
  // The hub redirects an old name to the new one, on the same host.
  hub.fault = [&](const MockRequest& r, int, MockAnswer& a) {
    const size_t at = r.path.find("/old/name");
    if (at == std::string::npos) return;
    a = {.status = 307,
         .headers = {{"Location", r.path.substr(0, at) + "/org/name" + r.path.substr(at + 9)}}};
  };
  pull("old/name");
  EXPECT_EQ(read_file(resolve_model("old/name") / kWeights), hub.files.at(kWeights).content);
}

TEST_F(Download, WithoutLinksTheContentItselfLiesInTheSnapshot) {
  HubHome::set("HF_HUB_DISABLE_SYMLINKS", "1");
  pull();
  ::unsetenv("HF_HUB_DISABLE_SYMLINKS");
  EXPECT_FALSE(fs::is_symlink(snapshot() / kWeights));
  expect_whole();
  EXPECT_EQ(pull().received, 0u);
  EXPECT_EQ(remove_model({"org/name", "main"}).models.size(), 1u);
  EXPECT_FALSE(fs::exists(folder()));
}

TEST_F(Download, OnlyPickledWeights) {
  hub.files.erase(kWeights);
  EXPECT_TRUE(has(refusal(Code::kUnsupported), "without safetensors"));
}

TEST_F(Download, EmptyFilesAndUnknownLengths) {
  hub.files["vocab.txt"] = {""};
  hub.files["merges.txt"] = {"a b"};
  hub.fault = [&](const MockRequest& r, int, MockAnswer& a) {
    // HTTP without a length: the end of the connection is the end of the file.
    if (r.path == hub.path_of("merges.txt")) a.headers["Content-Length"] = "";
    if (r.path == "/" + etag(kWeights) || r.path == hub.path_of(kWeights))
      a.headers.erase("X-Linked-Size");
  };
  pull();
  expect_whole();
  EXPECT_EQ(read_file(snapshot() / "vocab.txt"), "");
  EXPECT_EQ(read_file(snapshot() / "merges.txt"), "a b");
}

TEST_F(Download, AFullDiskSaysSo) {
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  auto* handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{30000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string message = refusal(Code::kFailed);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(has(message, "no space left") && has(message, "after 30000 bytes")) << message;
  EXPECT_EQ(pull().received, 70003u) << "what was written is gone on with";
  expect_whole();
}

TEST_F(Download, MoreThanTheDiskHoldsIsNotBegun) {
  hub.fault = [&](const MockRequest& r, int, MockAnswer& a) {
    if (r.path == hub.path_of(kWeights)) a.headers["X-Linked-Size"] = "900000000000000000";
  };
  EXPECT_TRUE(has(refusal(Code::kFailed), "MB are free"));
  EXPECT_TRUE(hub.reads(kWeights).empty());
}

TEST_F(Download, TwoAtOnceFetchOnce) {
  damage([](int, MockAnswer& a) { a.pause = 2ms; });
  PullOptions options;
  std::thread other([&] { pull_model({"org/name", ""}, options); });
  pull();
  other.join();
  expect_whole();
  EXPECT_EQ(hub.reads(kWeights).size(), 1u);
}

TEST_F(Download, AWaitIsAnnounced) {
  std::optional<FileLock> held(locks_folder("org/name") / (etag(kWeights) + ".lock"));
  std::thread release([&] {
    std::this_thread::sleep_for(100ms);
    held.reset();
  });
  pull();
  release.join();
  EXPECT_EQ(notices, std::vector<std::string>{
                         "another process is downloading model.safetensors; waiting for it"});
  expect_whole();
}

TEST(NeededFiles, WhatStemmaReads) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(
      needed_files({".gitattributes", "README.md", "config.json", "merges.txt",
                    "flax_model.msgpack", "model.safetensors", "model.fp16.safetensors",
                    "onnx/model.onnx", "pytorch_model.bin", "pytorch_model.bin.index.json",
                    "requirements.txt", "spiece.model", "chat_template.jinja", "training_args.bin",
                    "additional_chat_templates/rag.jinja", "trainer_state.json"}),
      (Names{"additional_chat_templates/rag.jinja", "chat_template.jinja", "config.json",
             "merges.txt", "spiece.model", "model.safetensors"}));
  EXPECT_EQ(needed_files({"consolidated.safetensors", "model-00001-of-00002.safetensors",
                          "model-00002-of-00002.safetensors", "model.safetensors.index.json",
                          "original/params.json", "tokenizer.model"}),
            (Names{"model.safetensors.index.json", "tokenizer.model",
                   "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}));
  EXPECT_EQ(needed_files({"1_Pooling/config.json", "2_Dense/config.json",
                          "2_Dense/model.safetensors", "2_Dense/pytorch_model.bin", "config.json",
                          "model.safetensors", "modules.json", "eval/x.json"}),
            (Names{"1_Pooling/config.json", "2_Dense/config.json", "config.json", "modules.json",
                   "2_Dense/model.safetensors", "model.safetensors"}));
  EXPECT_EQ(needed_files({"config.json", "adapter.safetensors"}),
            (Names{"config.json", "adapter.safetensors"}));
  EXPECT_EQ(needed_files({"tokenizer.json"}), Names{"tokenizer.json"}) << "a tokenizer alone";
}

}  // namespace
}  // namespace stemma
