// libFuzzer target: a tokenizer.json and a text, with a zero byte between them. Loading must end
// with a tokenizer or a stemma::Error; encoding and decoding must, too, and what a stream gives is
// what decode() gives.
//   cmake -B build/fuzz -DSTEMMA_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++ &&
//   build/fuzz/tokenizer_json_fuzz -max_len=4096 CORPUS
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stemma;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = std::min(input.find('\0'), input.size());
  const std::string_view text = input.substr(std::min(zero + 1, input.size()));
  try {
    const Tokenizer tokenizer = Tokenizer::from_text(std::string(input.substr(0, zero)));
    EncodeOptions options;
    const Encoding whole = tokenizer.encode(text, options);
    if (whole.ids.size() != whole.offsets.size()) std::abort();
    options.offsets = false;
    if (tokenizer.encode(text, options).ids != whole.ids) std::abort();
    options.truncation = {7, 2};
    options.overflow = true;
    tokenizer.encode(text, options);
    options.overflow = false;  // of pairs it is every window with every other
    tokenizer.encode_pair(text, text, options);
    StreamDecoder stream(tokenizer);
    std::string streamed;
    for (const int32_t id : whole.ids) streamed += stream.push(id);
    if (streamed + stream.finish() != tokenizer.decode(whole.ids)) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
