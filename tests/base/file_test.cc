#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "base/error.h"
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

std::vector<std::string> names_in(const fs::path& dir) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

// While it lives no file can grow beyond `bytes`: writes fail as they do on a full disk.
class DiskFull {
 public:
  explicit DiskFull(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
  }
  ~DiskFull() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(File, WritesReadsAndReplaces) {
  const TempDir dir;
  const std::string binary("\0\xFF\n\r", 4);
  write_file(dir / "a", binary);
  EXPECT_EQ(read_file(dir / "a"), binary);
  write_file(dir / "a", "");
  EXPECT_EQ(read_file(dir / "a"), "");
  EXPECT_EQ(names_in(dir.path()), std::vector<std::string>{"a"});
}

TEST(File, StreamsSmallAndLargePieces) {
  const TempDir dir;
  const std::string large(3 << 20, 'x');
  std::string expected;
  write_file(dir / "a", [&](const ByteSink& sink) {
    for (int i = 0; i < 1000; ++i) {
      const std::string piece = cat(i, ";");
      sink(piece.data(), piece.size());
      expected += piece;
      if (i % 400 == 0) {
        sink(large.data(), large.size());
        expected += large;
      }
    }
  });
  EXPECT_TRUE(read_file(dir / "a") == expected);
}

TEST(File, KeepsTheLimitOnReading) {
  const TempDir dir;
  write_file(dir / "a", "12345");
  EXPECT_EQ(read_file(dir / "a", 5), "12345");
  EXPECT_NE(error_of([&] { read_file(dir / "a", 4); }).message().find("limit of 4"),
            std::string::npos);
  EXPECT_NE(error_of([&] { read_file("/dev/zero", 10000); }).message().find("limit of 10000"),
            std::string::npos);
}

TEST(File, NamesPathAndReason) {
  const TempDir dir;
  const Error missing = error_of([&] { read_file(dir / "none"); });
  EXPECT_EQ(missing.code(), Code::kNotFound);
  EXPECT_EQ(missing.message(),
            cat("[file] cannot read ", (dir / "none").string(), ": No such file or directory"));
  EXPECT_EQ(error_of([&] { MappedFile(dir / "none"); }).code(), Code::kNotFound);
  EXPECT_EQ(error_of([&] { write_file(dir / "none" / "a", "x"); }).code(), Code::kNotFound);
  EXPECT_EQ(error_of([&] { read_file(dir.path()); }).code(), Code::kFailed);
  EXPECT_EQ(error_of([&] { MappedFile{dir.path()}; }).code(), Code::kFailed);
  EXPECT_EQ(error_of([&] { write_file(dir.path(), "x"); }).code(), Code::kFailed);
  EXPECT_EQ(error_of([&] { write_file("..", "x"); }).code(), Code::kFailed);
  EXPECT_FALSE(fs::exists(dir.path().string() + ".tmp"));
}

TEST(File, FailedWriteLeavesTheOldFileAndNoTemporary) {
  const TempDir dir;
  write_file(dir / "a", "old");
  const Error thrown = error_of([&] {
    write_file(dir / "a", [](const ByteSink& sink) {
      sink("new", 3);
      fail(Code::kFailed, "[test] stop");
    });
  });
  EXPECT_EQ(thrown.message(), "[test] stop");
  {
    const DiskFull full(1 << 20);
    const std::string large(2 << 20, 'x');
    const Error e = error_of([&] { write_file(dir / "a", large); });
    EXPECT_EQ(e.code(), Code::kFailed);
    EXPECT_TRUE(e.message().starts_with(cat("[file] cannot write ", (dir / "a").string())));
  }
  EXPECT_EQ(read_file(dir / "a"), "old");
  EXPECT_EQ(names_in(dir.path()), std::vector<std::string>{"a"});
}

TEST(File, WritesAndReplacesDirectories) {
  const TempDir dir;
  write_directory(dir / "d", [](const fs::path& d) {
    write_file(d / "one", "1");
    fs::create_directory(d / "sub");
    write_file(d / "sub" / "two", "2");
  });
  EXPECT_EQ(read_file(dir / "d" / "sub" / "two"), "2");
  // A trailing slash names the same directory; a stale temporary is swept away.
  fs::create_directory(dir / "d.tmp");
  write_file(dir / "d.tmp" / "stale", "x");
  write_directory(dir / "d/", [](const fs::path& d) { write_file(d / "three", "3"); });
  EXPECT_EQ(names_in(dir / "d"), std::vector<std::string>{"three"});
  EXPECT_EQ(names_in(dir.path()), std::vector<std::string>{"d"});
}

TEST(File, FailedDirectoryLeavesTheOldOne) {
  const TempDir dir;
  write_directory(dir / "d", [](const fs::path& d) { write_file(d / "old", "1"); });
  const DiskFull full(1000);
  const Error e = error_of([&] {
    write_directory(dir / "d", [](const fs::path& d) {
      write_file(d / "small", "1");
      write_file(d / "large", std::string(5000, 'x'));
    });
  });
  EXPECT_NE(e.message().find("large"), std::string::npos);
  EXPECT_EQ(names_in(dir / "d"), std::vector<std::string>{"old"});
  EXPECT_EQ(names_in(dir.path()), std::vector<std::string>{"d"});
}

TEST(File, RefusesToReplaceAFileByADirectory) {
  const TempDir dir;
  write_file(dir / "a", "old");
  const Error e = error_of([&] { write_directory(dir / "a", [](const fs::path&) {}); });
  EXPECT_NE(e.message().find("is not a directory"), std::string::npos);
  EXPECT_EQ(read_file(dir / "a"), "old");
}

TEST(File, MapsAndMoves) {
  const TempDir dir;
  write_file(dir / "a", "hello");
  write_file(dir / "empty", "");
  EXPECT_TRUE(MappedFile(dir / "empty").bytes().empty());
  MappedFile map(dir / "a");
  const uint8_t* data = map.bytes().data();
  MappedFile moved(std::move(map));
  EXPECT_EQ(moved.bytes().data(), data);
  EXPECT_TRUE(map.bytes().empty());
  MappedFile assigned(dir / "empty");
  assigned = std::move(moved);
  ASSERT_EQ(assigned.bytes().size(), 5u);
  EXPECT_EQ(std::string(assigned.bytes().begin(), assigned.bytes().end()), "hello");
}

}  // namespace
}  // namespace stemma
