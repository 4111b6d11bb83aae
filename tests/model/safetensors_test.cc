#include "model/safetensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/json.h"
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

// A file from its header text and the number of its data bytes (0, 1, 2, ...).
std::string file_of(std::string_view header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof length);
  file += header;
  for (size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

const std::string kGood = file_of(
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
    R"("a":{"dtype":"BF16","shape":[3],"data_offsets":[8,14]},)"
    R"("none":{"dtype":"I64","shape":[0,4],"data_offsets":[14,14]}}  )",
    14);

class Safetensors : public testing::Test {
 protected:
  TensorFiles open(std::string_view bytes) const {
    // Not write_file(): thousands of syncs would make the damage tests slow.
    std::ofstream(dir / "x.safetensors", std::ios::binary) << bytes;
    return TensorFiles::open(dir / "x.safetensors");
  }
  std::string refusal(std::string_view header, size_t data_bytes) const {
    const Error e = error_of([&] { open(file_of(header, data_bytes)); });
    const std::string place = cat("[", (dir / "x.safetensors").string());
    EXPECT_TRUE(e.message().starts_with(place)) << e.message();
    return e.message().substr(std::min(e.message().size(), place.size()));
  }

  TempDir dir;
};

TEST_F(Safetensors, ReadsNamesShapesAndBytesInPlace) {
  const TensorFiles files = open(kGood);
  ASSERT_EQ(files.tensors().size(), 3u);
  EXPECT_EQ(files.metadata(), (TextMetadata{{"format", "pt"}}));
  const StoredTensor& b = files.at("b");
  EXPECT_EQ(&b, &files.tensors()[0]);
  EXPECT_EQ(b.dtype, DType::f32);
  EXPECT_EQ(b.shape, (std::vector<int64_t>{2, 1}));
  ASSERT_EQ(b.bytes.size(), 8u);
  EXPECT_EQ(b.bytes[7], 7);
  const StoredTensor& a = files.at("a");
  EXPECT_EQ(a.dtype, DType::bf16);
  ASSERT_EQ(a.bytes.size(), 6u);
  EXPECT_EQ(a.bytes[0], 8);
  EXPECT_EQ(a.bytes.data(), b.bytes.data() + 8);
  EXPECT_TRUE(files.at("none").bytes.empty());
  EXPECT_EQ(files.find("c"), nullptr);
  EXPECT_EQ(error_of([&] { files.at("c"); }).code(), Code::kNotFound);
}

TEST_F(Safetensors, ReadsScalarsPackedDtypesAndNoTensors) {
  EXPECT_TRUE(open(file_of("{}", 0)).tensors().empty());
  const TensorFiles files =
      open(file_of(R"({"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]},)"
                   R"("q":{"dtype":"F4","shape":[2,3],"data_offsets":[8,11]}})",
                   11));
  EXPECT_TRUE(files.at("s").shape.empty());
  EXPECT_EQ(files.at("q").bytes.size(), 3u);
}

TEST_F(Safetensors, RefusesWhatTheFormatForbids) {
  const auto expect = [&](std::string_view part, std::string_view header, size_t data_bytes) {
    const std::string message = refusal(header, data_bytes);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  const auto one = [](std::string_view dtype, std::string_view shape, std::string_view offsets) {
    return cat(R"({"a":{"dtype":")", dtype, R"(","shape":)", shape, R"(,"data_offsets":)", offsets,
               "}}");
  };
  const auto two = [](std::string_view first, std::string_view second) {
    return cat(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)", first,
               R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)", second, "}}");
  };
  expect("bytes begin at 4, the ones before end at 0", one("U8", "[4]", "[4,8]"), 8);
  expect("neither overlap nor leave a hole", two("[0,4]", "[2,6]"), 6);
  expect("neither overlap nor leave a hole", two("[0,4]", "[5,9]"), 9);
  expect("neither overlap nor leave a hole", two("[0,4]", "[0,4]"), 4);
  expect("the tensors end at byte 4 of the data, the file at 5", one("U8", "[4]", "[0,4]"), 5);
  expect("the file is cut short", one("U8", "[4]", "[0,4]"), 3);
  expect("needs 8 bytes", one("F32", "[2]", "[0,7]"), 7);
  expect("needs 8 bytes", one("F32", "[2]", "[8,0]"), 8);
  expect("unknown dtype \"F33\"", one("F33", "[2]", "[0,8]"), 8);
  expect("too large", one("F32", "[4294967296,4294967296]", "[0,8]"), 8);
  expect("too large", one("F32", "[9223372036854775807]", "[0,8]"), 8);
  expect("2^63 - 1", one("F32", "[9223372036854775808]", "[0,8]"), 8);
  expect("whole numbers", one("F32", "[-1]", "[0,4]"), 4);
  expect("whole numbers", one("F32", "[1.0]", "[0,4]"), 4);
  expect("whole numbers", one("F32", "[-0]", "[0,0]"), 0);
  expect("whole numbers", one("F32", "[\"1\"]", "[0,4]"), 4);
  expect("shape must be an array", one("F32", "1", "[0,4]"), 4);
  expect("at most 32",
         one("U8",
             cat("[1", std::string(80, ' '),
                 R"(,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1])"),
             "[0,1]"),
         1);
  expect("data_offsets must be [begin, end]", one("F32", "[1]", "[0,4,4]"), 4);
  expect("not whole bytes", one("F4", "[3]", "[0,2]"), 2);
  expect("without dtype", R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4);
  expect("without dtype", R"({"a":3})", 0);
  expect("without shape", R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4);
  expect("dtype must be a string", R"({"a":{"dtype":1,"shape":[1],"data_offsets":[0,4]}})", 4);
  expect("has the key \"a\" twice",
         R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
         R"("a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
         0);
  expect("must map strings to strings", R"({"__metadata__":{"a":1}})", 0);
  expect("must map strings to strings", R"({"__metadata__":[]})", 0);
  expect("does not open with '{'", " {}", 0);
  expect("does not open with '{'", "[]", 0);
  expect("does not open with '{'", "", 0);
  expect("invalid UTF-8", "{\"\xFF\":1}", 0);
  expect("expected", "{", 0);
  expect("nested deeper", cat("{\"a\":", std::string(1000, '['), "}"), 0);
  EXPECT_EQ(error_of([&] { open(file_of(one("F33", "[2]", "[0,8]"), 8)); }).code(),
            Code::kUnsupported);
}

TEST_F(Safetensors, RefusesHeadersThatDoNotFit) {
  std::string huge = kGood;
  for (const uint64_t length : {uint64_t{100'000'001}, UINT64_MAX, uint64_t{100'000'000}}) {
    std::memcpy(huge.data(), &length, sizeof length);
    EXPECT_EQ(error_of([&] { open(huge); }).code(), Code::kFailed) << length;
  }
  EXPECT_EQ(error_of([&] { open(""); }).code(), Code::kFailed);
}

TEST_F(Safetensors, RefusesEveryTruncation) {
  for (size_t size = 0; size < kGood.size(); ++size)
    EXPECT_EQ(error_of([&] { open(kGood.substr(0, size)); }).code(), Code::kFailed) << size;
  EXPECT_EQ(error_of([&] { open(kGood + "x"); }).code(), Code::kFailed);
}

// Whatever one byte of the header becomes: an Error, or tensors that lie inside the file.
TEST_F(Safetensors, SurvivesEveryDamagedByte) {
  const size_t header_end = kGood.size() - 14;
  for (size_t i = 0; i < header_end; ++i) {
    for (const int flip : {1, 2, 4, 8, 16, 32, 64, 128, 0x51, 0xFF}) {
      std::string bytes = kGood;
      bytes[i] = static_cast<char>(bytes[i] ^ flip);
      unsigned sum = 0;
      size_t size = 0;
      const Error e = error_of([&] {
        const TensorFiles files = open(bytes);
        for (const StoredTensor& t : files.tensors()) {
          size += t.bytes.size();
          for (const uint8_t byte : t.bytes) sum += byte;
        }
      });
      if (e.code() != Code::kUsage) continue;
      EXPECT_EQ(size, 14u);
      EXPECT_EQ(sum, 91u);
    }
  }
}

// ---- directories and shards ----

TEST_F(Safetensors, FindsTheModelInADirectory) {
  const Error none = error_of([&] { TensorFiles::open(dir.path()); });
  EXPECT_EQ(none.code(), Code::kNotFound);
  EXPECT_NE(none.message().find("neither model.safetensors nor model.safetensors.index.json"),
            std::string::npos);
  write_file(dir / "pytorch_model.bin", "x");
  EXPECT_NE(error_of([&] { TensorFiles::open(dir.path()); })
                .message()
                .find("only safetensors files are read"),
            std::string::npos);
  write_file(dir / "model.safetensors", kGood);
  EXPECT_EQ(TensorFiles::open(dir.path()).tensors().size(), 3u);
  EXPECT_EQ(error_of([&] { TensorFiles::open(dir / "none"); }).code(), Code::kNotFound);
}

struct Values {
  std::vector<float> a{1, 2, 3}, b{4, 5, 6, 7};
  std::vector<uint16_t> c{8, 9};
  std::vector<TensorEntry> entries() const {
    return {tensor_entry("c", DType::bf16, {2, 1}, bytes(c)),
            tensor_entry("b", DType::f32, {2, 2}, bytes(b)),
            tensor_entry("a", DType::f32, {3}, bytes(a))};
  }
  template <class T>
  static std::span<const uint8_t> bytes(const std::vector<T>& v) {
    return {reinterpret_cast<const uint8_t*>(v.data()), v.size() * sizeof(T)};
  }
};

bool same(const StoredTensor& stored, const TensorEntry& entry) {
  std::vector<uint8_t> bytes;
  entry.fill([&](const void* data, size_t size) {
    const uint8_t* begin = static_cast<const uint8_t*>(data);
    bytes.insert(bytes.end(), begin, begin + size);
  });
  return stored.name == entry.name && stored.dtype == entry.dtype && stored.shape == entry.shape &&
         std::ranges::equal(stored.bytes, bytes);
}

TEST_F(Safetensors, WritesWhatTheReferenceWrites) {
  const Values values;
  write_safetensors(dir / "w", values.entries());
  // The bytes of safetensors 0.8's save_file() for the same tensors.
  std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},)"
      R"("b":{"dtype":"F32","shape":[2,2],"data_offsets":[12,28]},)"
      R"("c":{"dtype":"BF16","shape":[2,1],"data_offsets":[28,32]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::string written = read_file(dir / "w");
  EXPECT_EQ(written.substr(8, header.size()), header);
  EXPECT_EQ(written.size(), 8 + header.size() + 32);
  const TensorFiles files = TensorFiles::open(dir / "w");
  for (const TensorEntry& entry : values.entries()) EXPECT_TRUE(same(files.at(entry.name), entry));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(files.at("a").bytes.data()) % 8, 0u);
}

TEST_F(Safetensors, OrderOfEntriesDoesNotChangeTheFile) {
  const Values values;
  std::vector<TensorEntry> entries = values.entries();
  write_safetensors(dir / "1", entries);
  std::ranges::reverse(entries);
  write_safetensors(dir / "2", entries);
  EXPECT_EQ(read_file(dir / "1"), read_file(dir / "2"));
}

TEST_F(Safetensors, WritesOddNamesAndNoTensors) {
  write_safetensors(dir / "w", {}, {});
  EXPECT_TRUE(TensorFiles::open(dir / "w").tensors().empty());
  const uint8_t byte = 7;
  const std::string name = "a\"\\\n\xC3\xA9";
  write_safetensors(dir / "w", std::vector{tensor_entry(name, DType::u8, {}, {&byte, 1})},
                    {{"k\"", "v\n"}});
  const TensorFiles files = TensorFiles::open(dir / "w");
  EXPECT_EQ(files.at(name).bytes[0], 7);
  EXPECT_EQ(files.metadata(), (TextMetadata{{"k\"", "v\n"}}));
}

TEST_F(Safetensors, FailedWriteKeepsTheOldFile) {
  const Values values;
  write_safetensors(dir / "w", values.entries());
  const std::string before = read_file(dir / "w");
  std::vector<TensorEntry> entries = values.entries();
  entries[0].shape = {3, 1};
  EXPECT_NE(error_of([&] { write_safetensors(dir / "w", entries); })
                .message()
                .find("tensor \"c\": its shape needs 6 bytes, 4 were given"),
            std::string::npos);
  entries = values.entries();
  entries[0].name = "a";
  EXPECT_NE(error_of([&] { write_safetensors(dir / "w", entries); }).message().find("twice"),
            std::string::npos);
  entries[0].name = "__metadata__";
  EXPECT_NE(error_of([&] { write_safetensors(dir / "w", entries); }).message().find("reserved"),
            std::string::npos);
  EXPECT_EQ(read_file(dir / "w"), before);
  EXPECT_FALSE(fs::exists(dir / "w.tmp"));
}

TEST_F(Safetensors, CutsLargeModelsIntoShards) {
  const Values values;
  const std::vector<TensorEntry> entries = values.entries();
  write_model_tensors(dir.path(), entries);
  EXPECT_TRUE(fs::exists(dir / "model.safetensors"));
  write_model_tensors(dir.path(), entries, 20);  // c + b = 20 bytes, a = 12
  EXPECT_FALSE(fs::exists(dir / "model.safetensors"));
  const Json index = Json::parse_file(dir / "model.safetensors.index.json");
  EXPECT_EQ(index.at("metadata").at("total_size").as_int(), 32);
  EXPECT_EQ(index.at("weight_map").dump(),
            R"({"c": "model-00001-of-00002.safetensors", "b": "model-00001-of-00002.safetensors", )"
            R"("a": "model-00002-of-00002.safetensors"})");
  const TensorFiles files = TensorFiles::open(dir.path());
  EXPECT_EQ(files.files().size(), 2u);
  ASSERT_EQ(files.tensors().size(), 3u);
  for (const TensorEntry& entry : entries) EXPECT_TRUE(same(files.at(entry.name), entry));
  // A limit below every tensor gives each its own shard.
  write_model_tensors(dir.path(), entries, 1);
  EXPECT_EQ(TensorFiles::open(dir.path()).files().size(), 3u);
}

TEST_F(Safetensors, RefusesBrokenIndexes) {
  const auto refusal = [&](std::string_view text) {
    write_file(dir / "m.index.json", text);
    return error_of([&] { TensorFiles::open(dir / "m.index.json"); });
  };
  write_file(dir / "one.safetensors", kGood);
  EXPECT_EQ(refusal(R"({"weight_map": {"a": "one.safetensors"}})").message(), "no error");
  write_file(dir / "two.safetensors", kGood);
  const auto expect = [&](std::string_view part, std::string_view text) {
    const std::string message = refusal(text).message();
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect("tensor \"x\" is not in its shard", R"({"weight_map": {"x": "one.safetensors"}})");
  expect("is also in another file",
         R"({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})");
  expect("expected a \"weight_map\"", "{}");
  expect("expected a \"weight_map\"", R"({"weight_map": {}})");
  expect("expected a \"weight_map\"", "[]");
  expect("must be a file name", R"({"weight_map": {"a": 1}})");
  expect("\"a\" twice", R"({"weight_map": {"a": "one.safetensors", "a": "one.safetensors"}})");
  for (const char* name : {"../one.safetensors", "/etc/passwd", "sub/one.safetensors", "..", ".",
                           "", "a\\\\b", "one.safetensors\\u0000"})
    expect("plain file name", cat(R"({"weight_map": {"a": ")", name, "\"}}"));
  const Error missing = refusal(R"({"weight_map": {"a": "three.safetensors"}})");
  EXPECT_EQ(missing.code(), Code::kNotFound);
  EXPECT_NE(missing.message().find("the shard \"three.safetensors\" is missing"),
            std::string::npos);
}

}  // namespace
}  // namespace stemma
