// libFuzzer target: a text (of any bytes) through every normaliser, pre-tokenizer and model.
// Offsets must lie inside the text, in order of begin and end, and ids must not depend on whether
// offsets are wanted, nor on what was encoded before.
//   build/fuzz/normalizer_fuzz -max_len=512     (see tokenizer_json_fuzz.cc)
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace {

using namespace stemma;

std::vector<Tokenizer> tokenizers() {
  std::vector<Tokenizer> out;
  const char* const normalizers[] = {
      "null",
      R"({"type": "NFC"})",
      R"({"type": "NFD"})",
      R"({"type": "NFKC"})",
      R"({"type": "NFKD"})",
      R"({"type": "Lowercase"})",
      R"({"type": "StripAccents"})",
      R"({"type": "Strip", "strip_left": true, "strip_right": true})",
      R"({"type": "Nmt"})",
      R"({"type": "Prepend", "prepend": "x"})",
      R"({"type": "ByteLevel"})",
      R"({"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "})",
      R"({"type": "Replace", "pattern": {"String": "a"}, "content": "bcd"})",
      R"({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
        "lowercase": true})"};
  const char* const pre_tokenizers[] = {
      R"({"type": "BertPreTokenizer"})",
      R"({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true})",
      R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "first"})",
      R"({"type": "UnicodeScripts"})",
      R"({"type": "Digits", "individual_digits": true})",
      R"-({"type": "Split", "pattern": {"Regex": "\\p{L}+|\\s+(?!\\S)"}, "behavior": "Contiguous",
        "invert": false})-"};
  const char* const models[] = {
      R"({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "u": 3}, "merges": ["a b"],
        "unk_token": "u", "fuse_unk": true})",
      R"({"type": "WordPiece", "vocab": {"a": 0, "##b": 1, "u": 2}, "unk_token": "u",
          "continuing_subword_prefix": "##", "max_input_chars_per_word": 9})",
      R"({"type": "Unigram", "unk_id": 0,
          "vocab": [["u", 0], ["a", -1], ["ab", -1.5], ["_", -2]]})"};
  for (const char* normalizer : normalizers)
    for (const char* pre_tokenizer : pre_tokenizers)
      for (const char* model : models)
        out.push_back(Tokenizer::from_json(Json::parse(
            cat(R"({"version": "1.0", "normalizer": )", normalizer, R"(, "pre_tokenizer": )",
                pre_tokenizer, R"(, "model": )", model, "}"))));
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<Tokenizer> all = tokenizers();
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto end = static_cast<int32_t>(utf8::count(utf8::replace_bad_bytes(text)));
  const Tokenizer& tokenizer = all[data[0] % all.size()];
  const Encoding encoding = tokenizer.encode(text);
  for (const auto& [first, last] : encoding.offsets)
    if (first < 0 || first > last || last > end) std::abort();
  if (tokenizer.encode(text, {.offsets = false}).ids != encoding.ids) std::abort();
  return 0;
}
