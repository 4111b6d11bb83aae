#include "text/byte_bpe.h"

#include <algorithm>
#include <utility>

#include "text/byte_level.h"
#include "text/file_parts.h"

namespace stemma {
namespace {

// Special tokens that are known by their names.
constexpr std::pair<const char*, const char*> kRoles[] = {{"[PAD]", "pad_token"},
                                                          {"[CLS]", "cls_token"},
                                                          {"[SEP]", "sep_token"},
                                                          {"[MASK]", "mask_token"}};

}  // namespace

Tokenizer make_byte_bpe(Vocab vocab, Merges merges, const std::vector<std::string>& special_tokens,
                        bool split) {
  Json added = Json::array();
  for (const std::string& content : special_tokens)
    added.push_back(file_parts::special_token(content, vocab.find(content)));
  const Json byte_level = file_parts::byte_level(false, true, split);
  Json parts = Json::object({{"version", "1.0"},
                             {"truncation", nullptr},
                             {"padding", nullptr},
                             {"added_tokens", added},
                             {"normalizer", nullptr},
                             {"pre_tokenizer", byte_level},
                             {"post_processor", file_parts::cls_sep(vocab)},
                             {"decoder", byte_level}});
  Json config = Json::object(
      {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}});
  if (!special_tokens.empty()) config.set("eos_token", special_tokens[0]);
  for (const auto& [token, role] : kRoles)
    if (std::find(special_tokens.begin(), special_tokens.end(), token) != special_tokens.end())
      config.set(role, token);
  return Tokenizer::from_file(
      {std::move(parts), file_parts::bpe_model(std::move(vocab), std::move(merges), {})},
      "tokenizer.json", config);
}

Tokenizer Tokenizer::bytes() {
  Vocab vocab;
  for (int b = 0; b < 256; ++b) vocab.add(byte_level_text(static_cast<uint8_t>(b)), b, "bytes");
  vocab.add("<|endoftext|>", 256, "bytes");
  return make_byte_bpe(std::move(vocab), {}, {"<|endoftext|>"}, false);
}

}  // namespace stemma
