#include "data/readers.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "support/temp_dir.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

template <class F>
Error error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  return Error(Code::kUsage, "no error");
}

std::vector<fs::path> find(std::vector<std::string> paths) { return find_data_files(paths); }

std::vector<Document> read(std::vector<fs::path> files) {
  std::vector<Document> documents;
  read_documents(files, [&](Document&& d) { documents.push_back(std::move(d)); });
  return documents;
}

TEST(Readers, FindsFilesPatternsAndDirectoriesOnceInOrder) {
  const TempDir dir;
  fs::create_directories(dir / "sub/deep");
  fs::create_directories(dir / "sub/.hidden");
  for (const char* name : {"b.txt", "a.txt", "c.jsonl", "x.cc", "sub/d.md", "sub/deep/e.jsonl",
                           "sub/skip.png", "sub/.hidden/h.txt"})
    write_file(dir / name, "x");
  const auto path = [&](const char* name) { return (dir / name).string(); };
  EXPECT_EQ(find({path("*.txt")}), (std::vector<fs::path>{dir / "a.txt", dir / "b.txt"}));
  EXPECT_EQ(find({path("x.cc"), path("[ac].*")}),
            (std::vector<fs::path>{dir / "x.cc", dir / "a.txt", dir / "c.jsonl"}));
  EXPECT_EQ(find({path("sub")}),
            (std::vector<fs::path>{dir / "sub/d.md", dir / "sub/deep/e.jsonl"}));
  EXPECT_EQ(find({path("b.txt"), path("*.txt"), path("./b.txt")}),
            (std::vector<fs::path>{dir / "b.txt", dir / "a.txt"}));
}

TEST(Readers, SaysWhatIsMissingOrNotRead) {
  const TempDir dir;
  fs::create_directory(dir / "empty");
  write_file(dir / "x.jsonl.gz", "x");
  EXPECT_EQ(error_of([&] { find({(dir / "none").string()}); }).code(), Code::kNotFound);
  EXPECT_EQ(error_of([&] { find({(dir / "*.txt").string()}); }).code(), Code::kNotFound);
  EXPECT_EQ(error_of([&] { find({(dir / "empty").string()}); }).code(), Code::kNotFound);
  EXPECT_EQ(error_of([&] { find({(dir / "x.jsonl.gz").string()}); }).code(), Code::kUnsupported);
}

TEST(Readers, TextIsOneDocumentUnlessMarked) {
  const TempDir dir;
  write_file(dir / "one.txt", "\nfirst\n\nsecond\n");
  write_file(dir / "many.txt", "a\n<|endoftext|>\nb <|endoftext|> \n<|endoftext|>\r\nc\n");
  write_file(dir / "empty.txt", "");
  const auto documents = read({dir / "one.txt", dir / "empty.txt", dir / "many.txt"});
  ASSERT_EQ(documents.size(), 4u);
  EXPECT_EQ(documents[0].text, "\nfirst\n\nsecond\n");
  EXPECT_EQ(documents[0].id, (DocumentId{0, 0}));
  EXPECT_EQ(documents[1].text, "a");
  EXPECT_EQ(documents[1].id, (DocumentId{2, 0}));
  EXPECT_EQ(documents[2].text, "b ");
  EXPECT_EQ(documents[2].id, (DocumentId{2, 1}));
  EXPECT_EQ(documents[3].text, "c\n");
  EXPECT_EQ(documents[3].id, (DocumentId{2, 3}));
}

TEST(Readers, JsonlIsOneDocumentALine) {
  const TempDir dir;
  write_file(dir / "a.jsonl",
             "{\"text\": \"one\\ntwo\"}\r\n\n{\"id\": 3, \"text\": \" \"}\n{\"text\": \"last\"}");
  const auto documents = read({dir / "a.jsonl"});
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(documents[0].text, "one\ntwo");
  EXPECT_EQ(documents[0].id, (DocumentId{0, 0}));
  EXPECT_EQ(documents[1].text, "last");
  EXPECT_EQ(documents[1].id, (DocumentId{0, 3}));
}

TEST(Readers, BadJsonlLinesAreNamed) {
  const TempDir dir;
  const std::string path = (dir / "a.jsonl").string();
  const auto refusal = [&](std::string_view line) {
    write_file(path, cat("{\"text\": \"ok\"}\n", line, "\n"));
    return error_of([&] { read({path}); }).message();
  };
  EXPECT_EQ(refusal("{\"text\": }"), cat("[", path, " line 2:1:10] expected a value, found '}'"));
  for (const char* line : {"[]", "{}", "{\"text\": 3}", "\"text\"", "{\"text\": null}"})
    EXPECT_EQ(refusal(line),
              cat("[", path, " line 2] expected an object with a string under \"text\""));
  EXPECT_NE(refusal("{\"text\": \"\xFF\"}").find("invalid UTF-8"), std::string::npos);
}

}  // namespace
}  // namespace stemma
