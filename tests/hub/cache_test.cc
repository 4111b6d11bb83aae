#include "hub/cache.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "hub/lock.h"
#include "support/hub_home.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";
constexpr const char* kOther = "fedcba9876543210fedcba9876543210fedcba98";

void write(const fs::path& path, std::string_view text) {
  fs::create_directories(path.parent_path());
  write_file(path, text);
}

// A file of a snapshot, as huggingface_hub lays it out.
void add(const std::string& repo, const std::string& commit, const std::string& file,
         const std::string& etag, const std::string& content) {
  const fs::path folder = repo_folder(repo), link = folder / "snapshots" / commit / file;
  write(folder / "blobs" / etag, content);
  fs::create_directories(link.parent_path());
  fs::create_symlink((folder / "blobs" / etag).lexically_relative(link.parent_path()), link);
}

void add_model(const std::string& repo, const std::string& commit, const std::string& tag) {
  add(repo, commit, "config.json", "config" + tag, "{}");
  add(repo, commit, "model.safetensors", "weights" + tag, std::string(1000, 'w'));
}

std::string message_of(const std::string& name, Need need = Need::weights) {
  try {
    return "found " + resolve_model(name, need).string();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::kNotFound) << e.what();
    return e.message();
  }
}

TEST(Names, AsTheHubWritesThem) {
  EXPECT_EQ(parse_model_name("org/name"), (ModelName{"org/name", ""}));
  EXPECT_EQ(parse_model_name("hf://org/name@v1.0"), (ModelName{"org/name", "v1.0"}));
  EXPECT_EQ(parse_model_name("name@refs/pr/1"), (ModelName{"name", "refs/pr/1"}));
  for (const char* bad : {"",
                          "/",
                          "a/",
                          "/a",
                          "a/b/c",
                          "../a",
                          "a/..",
                          "./a",
                          "a--b/c",
                          "a/b.git",
                          "a b",
                          "org/name@",
                          "org/name@../x",
                          "org/name@a b",
                          "org/name@/x",
                          "org/na\nme",
                          "-a/b",
                          "a/b.",
                          "hf://",
                          "http://a/b"})
    EXPECT_FALSE(parse_model_name(bad)) << bad;
  EXPECT_FALSE(parse_model_name(std::string(97, 'a')));
}

TEST(Names, InnerPaths) {
  for (const char* good : {"a", "a/b.json", ".gitattributes", "a..b"})
    EXPECT_TRUE(is_inner_path(good));
  for (const char* bad : {"", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\\b", "C:a", "a\nb"})
    EXPECT_FALSE(is_inner_path(bad)) << bad;
}

TEST(Cache, PlacesComeFromTheEnvironment) {
  const HubHome home;
  EXPECT_EQ(hub_cache(), home.path() / "hub");
  unsetenv("HF_HUB_CACHE");
  setenv("HF_HOME", "/elsewhere", 1);
  EXPECT_EQ(hub_cache(), "/elsewhere/hub");
  setenv("HF_HOME", "~/x", 1);
  setenv("HOME", "/home/me", 1);
  EXPECT_EQ(hub_cache(), "/home/me/x/hub");
  unsetenv("HF_HOME");
  unsetenv("XDG_CACHE_HOME");
  EXPECT_EQ(hub_cache(), "/home/me/.cache/huggingface/hub");
  setenv("XDG_CACHE_HOME", "/xdg", 1);
  EXPECT_EQ(hub_cache(), "/xdg/huggingface/hub");
  unsetenv("STEMMA_CACHE");
  EXPECT_EQ(own_cache(), "/xdg/stemma/models");
}

TEST(Cache, APathWinsAndIsTakenAsItIs) {
  const HubHome home;
  EXPECT_EQ(resolve_model(home.path().string()), home.path());
  write(home.path() / "config.json", "{}");
  EXPECT_EQ(resolve_model((home.path() / "config.json").string()), home.path() / "config.json");
  EXPECT_NE(message_of("/no/such/model").find("no directory \"/no/such/model\""),
            std::string::npos);
}

TEST(Cache, RevisionsResolve) {
  const HubHome home;
  add_model("org/name", kCommit, "1");
  const fs::path first = repo_folder("org/name") / "snapshots" / kCommit;
  EXPECT_EQ(resolve_model("org/name"), first) << "the only one there is";
  add_model("org/name", kOther, "2");
  const fs::path second = repo_folder("org/name") / "snapshots" / kOther;
  EXPECT_NE(message_of("org/name").find("which has 0123456789ab, fedcba987654"), std::string::npos)
      << message_of("org/name");
  write(repo_folder("org/name") / "refs" / "main", kOther);
  write(repo_folder("org/name") / "refs" / "refs" / "pr" / "1", std::string(kCommit) + "\n");
  EXPECT_EQ(resolve_model("org/name"), second);
  EXPECT_EQ(resolve_model("hf://org/name@main"), second);
  EXPECT_EQ(resolve_model("org/name@refs/pr/1"), first);
  EXPECT_EQ(resolve_model(std::string("org/name@") + kCommit), first);
  EXPECT_EQ(resolve_model("org/name@0123456"), first);
  EXPECT_EQ(message_of("org/name@012345").substr(0, 7), "[model]") << "too short to be a commit";
  const std::string message = message_of("org/name@v2");
  for (const char* part : {"org/name@v2 is not on this machine", "models--org--name",
                           "0123456789ab (refs/pr/1)", "stemma pull org/name@v2"})
    EXPECT_NE(message.find(part), std::string::npos) << part << " in " << message;
  write(repo_folder("org/name") / "refs" / "main", "../../../..");
  EXPECT_EQ(message_of("org/name@main").substr(0, 7), "[model]") << "a hostile ref leads nowhere";
}

TEST(Cache, BareNamesAreOursOrSentenceTransformers) {
  const HubHome home;
  const fs::path own = own_cache() / "all-MiniLM-L6-v2";
  EXPECT_NE(message_of("all-MiniLM-L6-v2").find(own.string()), std::string::npos);
  write(own / "config.json", "{}");
  EXPECT_NE(message_of("all-MiniLM-L6-v2").find("only in part: model.safetensors"),
            std::string::npos);
  write(own / "model.safetensors", "w");
  EXPECT_EQ(resolve_model("all-MiniLM-L6-v2"), own);
  EXPECT_EQ(resolve_model("sentence-transformers/all-MiniLM-L6-v2"), own);
  EXPECT_EQ(message_of("org/all-MiniLM-L6-v2").substr(0, 7), "[model]") << "somebody else's model";
  EXPECT_EQ(message_of("all-MiniLM-L6-v2@v1").substr(0, 7), "[model]") << "ours has no revisions";
  add_model("sentence-transformers/all-MiniLM-L6-v2", kCommit, "1");
  const fs::path hub =
      repo_folder("sentence-transformers/all-MiniLM-L6-v2") / "snapshots" / kCommit;
  EXPECT_EQ(resolve_model("all-MiniLM-L6-v2"), hub) << "the Hugging Face cache comes first";
}

TEST(Cache, PartOfAModelIsNotAModel) {
  const HubHome home;
  add("org/name", kCommit, "config.json", "c", "{}");
  const std::string message = message_of("org/name");
  EXPECT_NE(message.find("only in part: model.safetensors"), std::string::npos) << message;
  EXPECT_NE(message.find("stemma pull org/name"), std::string::npos) << message;
  EXPECT_EQ(resolve_model("org/name", Need::any_file).filename(), kCommit);
  add("org/name", kCommit, "model.safetensors.index.json", "i",
      R"({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})");
  add("org/name", kCommit, "model-1.safetensors", "1", "w");
  EXPECT_NE(message_of("org/name").find("only in part: model-2.safetensors"), std::string::npos);
  add("org/name", kCommit, "model-2.safetensors", "2", "w");
  EXPECT_EQ(resolve_model("org/name").filename(), kCommit);
  fs::remove(repo_folder("org/name") / "blobs" / "2");
  EXPECT_NE(message_of("org/name").find("model-2.safetensors"), std::string::npos) << "a dead link";
}

TEST(Cache, ListsWhatIsThere) {
  const HubHome home;
  EXPECT_TRUE(cached_models().empty());
  add_model("org/name", kCommit, "1");
  add("org/name", kCommit, "copy/config.json", "config1", "{}");
  write(repo_folder("org/name") / "refs" / "main", kCommit);
  add_model("gpt2", kOther, "3");
  fs::remove(repo_folder("gpt2") / "blobs" / "weights3");
  write(own_cache() / "ours" / "config.json", "{}");
  write(repo_folder("cut/early") / "blobs" / "abc.incomplete", "1234");
  write(hub_cache() / "datasets--org--data" / "refs" / "main", kCommit);
  write(hub_cache() / "version.txt", "1");
  const auto all = cached_models();
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0].name, "cut/early");
  EXPECT_EQ(all[0].bytes, 4u);
  EXPECT_EQ(all[1].name, "gpt2");
  EXPECT_EQ(all[1].missing, "model.safetensors");
  EXPECT_EQ(all[1].bytes, 2u);
  EXPECT_EQ(all[2].name, "org/name");
  EXPECT_EQ(all[2].commit, kCommit);
  EXPECT_EQ(all[2].refs, std::vector<std::string>{"main"});
  EXPECT_EQ(all[2].bytes, 1002u) << "contents count once";
  EXPECT_EQ(all[2].missing, "");
  EXPECT_TRUE(all[3].own);
  EXPECT_EQ(all[3].name, "ours");
}

TEST(Cache, RemovesARevisionButNotWhatOthersUse) {
  const HubHome home;
  const fs::path folder = repo_folder("org/name");
  add_model("org/name", kCommit, "1");
  add_model("org/name", kOther, "2");
  add("org/name", kCommit, "shared.json", "both", "12345");
  fs::create_symlink("../../blobs/both", folder / "snapshots" / kOther / "shared.json");
  write(folder / "refs" / "main", kOther);
  write(folder / "refs" / "v1", kCommit);
  write(folder / ".no_exist" / kCommit / "x.json", "");
  // A link to a file outside of the cache: the link goes, the file stays.
  write(home.path() / "precious", "mine");
  fs::create_symlink(home.path() / "precious", folder / "snapshots" / kCommit / "outside");

  const Removed removed = remove_model({"org/name", "v1"});
  EXPECT_EQ(removed.bytes, 1002u);
  ASSERT_EQ(removed.models.size(), 1u);
  EXPECT_FALSE(fs::exists(folder / "snapshots" / kCommit));
  EXPECT_FALSE(fs::exists(folder / "refs" / "v1"));
  EXPECT_FALSE(fs::exists(folder / ".no_exist" / kCommit));
  EXPECT_FALSE(fs::exists(folder / "blobs" / "weights1"));
  EXPECT_TRUE(fs::exists(folder / "snapshots" / kOther / "shared.json"));
  EXPECT_EQ(resolve_model("org/name").filename(), kOther);
  EXPECT_TRUE(fs::exists(home.path() / "precious"));

  EXPECT_THROW(remove_model({"org/name", "v1"}), Error);
  EXPECT_EQ(remove_model({"org/name", ""}).bytes, 1002u + 5 + 40) << "blobs and the ref";
  EXPECT_FALSE(fs::exists(folder));
  EXPECT_THROW(remove_model({"org/name", ""}), Error);
}

TEST(Cache, RemovesOurOwnCopyByItsName) {
  const HubHome home;
  write(own_cache() / "ours" / "config.json", "{}");
  write(own_cache() / "org" / "1_Pooling" / "config.json", "{}");
  EXPECT_THROW(remove_model({"org/1_Pooling", ""}), Error) << "a folder inside another model";
  EXPECT_EQ(remove_model({"ours", ""}).bytes, 2u);
  EXPECT_FALSE(fs::exists(own_cache() / "ours"));
}

TEST(Cache, DoesNotRemoveWhatIsBeingDownloaded) {
  const HubHome home;
  add_model("org/name", kCommit, "1");
  {
    const FileLock held(locks_folder("org/name") / "weights1.lock");
    EXPECT_THROW(remove_model({"org/name", ""}), Error);
    EXPECT_TRUE(fs::exists(repo_folder("org/name")));
  }
  EXPECT_GT(remove_model({"org/name", ""}).bytes, 0u);
}

}  // namespace
}  // namespace stemma
