// Published vocabularies over whole books, by checksum. Needs the data folder.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "base/file.h"
#include "support/temp_dir.h"
#include "text/golden.h"
#include "text/tokenizer.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

// A directory with vocab.json and merges.txt, as GPT-2's class reads it.
Tokenizer gpt2(const fs::path& data) {
  TempDir directory;
  fs::copy(data / "tokenizers/gpt2.encoder.json", directory / "vocab.json");
  fs::copy(data / "tokenizers/gpt2.vocab.bpe", directory / "merges.txt");
  return Tokenizer::load(directory.path());
}

// The tokenizer.json that Llama 3.2 would have, of its vocabulary and merges.
Tokenizer llama3(const fs::path& data) {
  Json merges = Json::array();
  const std::string text = read_file(data / "tokenizers/llama3.2.vocab.bpe");
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    if (!line.empty() && !line.starts_with("#version")) merges.push_back(line);
    at = end + 1;
  }
  const Json split = Json::object(
      {{"type", "Split"},
       {"pattern",
        Json::object(
            {{"Regex", R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)"
                       R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}})},
       {"behavior", "Isolated"},
       {"invert", false}});
  const Json bytes = Json::object({{"type", "ByteLevel"},
                                   {"add_prefix_space", false},
                                   {"trim_offsets", true},
                                   {"use_regex", false}});
  return Tokenizer::from_json(Json::object(
      {{"version", "1.0"},
       {"pre_tokenizer",
        Json::object({{"type", "Sequence"}, {"pretokenizers", Json::array({split, bytes})}})},
       {"decoder", bytes},
       {"model",
        Json::object({{"type", "BPE"},
                      {"ignore_merges", true},
                      {"vocab", Json::parse_file(data / "tokenizers/llama3.2.encoder.json")},
                      {"merges", merges}})}}));
}

TEST(SlowPublished, VocabulariesOverBooks) {
  const char* folder = std::getenv("STEMMA_TEST_DATA");
  if (folder == nullptr) GTEST_SKIP() << "STEMMA_TEST_DATA is not set";
  const fs::path data = folder;
  std::map<std::string, Tokenizer> vocabularies;
  vocabularies.emplace("bge", Tokenizer::load(data / "hub/bge-large-zh-v1.5"));
  vocabularies.emplace("roberta", Tokenizer::load(data / "hub/roberta-base-squad2"));
  vocabularies.emplace("gpt2", gpt2(data));
  vocabularies.emplace(
      "gpt-neox",
      Tokenizer::from_json(Json::parse_file(data / "tokenizers/gpt-neox-20b.tokenizer.json")));
  vocabularies.emplace("llama3", llama3(data));
  const Json file = golden("published.json");
  for (const Json& line : file.items()) {
    const std::string &name = line.at("vocabulary").as_string(),
                      &text = line.at("text").as_string();
    SCOPED_TRACE(name + " on " + text);
    const Encoding got = vocabularies.at(name).encode(read_file(data / "text" / text));
    EXPECT_EQ(got.ids.size(), static_cast<size_t>(line.at("tokens").as_int()));
    EXPECT_EQ(crc32_of_ints(got.ids), line.at("ids").as_int());
    std::vector<int32_t> offsets;
    for (const auto& [begin, end] : got.offsets) offsets.insert(offsets.end(), {begin, end});
    EXPECT_EQ(crc32_of_ints(offsets), line.at("offsets").as_int());
  }
}

}  // namespace
}  // namespace stemma
