// libFuzzer target: a .model of sentencepiece, loaded as each class that reads one. It must end
// with a tokenizer, which then encodes and decodes a text, or a stemma::Error.
//   build/fuzz/sentencepiece_fuzz -max_len=4096 CORPUS     (see tokenizer_json_fuzz.cc)
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "text/tokenizer.h"

namespace {

// Memory behind a name, so that no disk is touched.
std::filesystem::path scratch_directory() {
  static const std::filesystem::path path = [] {
    auto made = std::filesystem::path("/dev/shm") / stemma::cat("stemma-fuzz-", getpid());
    std::filesystem::create_directories(made);
    return made;
  }();
  return path;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stemma;
  static const char* const classes[] = {
      "AlbertTokenizer", "T5Tokenizer",        "XLMRobertaTokenizer", "XLNetTokenizer",
      "LlamaTokenizer",  "DebertaV2Tokenizer", "GemmaTokenizer",      "PreTrainedTokenizerFast"};
  if (size == 0) return 0;
  const auto directory = scratch_directory();
  write_file(directory / "tokenizer_config.json",
             cat("{\"extra_ids\": 2, \"tokenizer_class\": \"", classes[data[0] % 8], "\"}"));
  write_file(directory / "tokenizer.model", {reinterpret_cast<const char*>(data) + 1, size - 1});
  try {
    const Tokenizer tokenizer = Tokenizer::load(directory);
    tokenizer.decode(tokenizer.encode("a  b\u00e9\u4e2d <s> \U0001F600", {}).ids);
  } catch (const Error&) {
  }
  return 0;
}
