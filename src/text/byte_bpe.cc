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

Tokenizer make_byte_bpe(Json vocab, Json merges, const std::vector<std::string>& special_tokens,
                        bool split) {
  Json added = Json::array();
  for (const std::string& content : special_tokens)
    added.push_back(file_parts::special_token(content, vocab.at(content)));
  // [CLS] text [SEP], as BERT reads it, where both are there.
  Json post_processor;
  if (vocab.has("[CLS]") && vocab.has("[SEP]"))
    post_processor = file_parts::component("BertProcessing",
                                           {{"sep", Json::array({"[SEP]", vocab.at("[SEP]")})},
                                            {"cls", Json::array({"[CLS]", vocab.at("[CLS]")})}});
  const Json byte_level = file_parts::byte_level(false, true, split);
  const Json file =
      Json::object({{"version", "1.0"},
                    {"truncation", nullptr},
                    {"padding", nullptr},
                    {"added_tokens", added},
                    {"normalizer", nullptr},
                    {"pre_tokenizer", byte_level},
                    {"post_processor", std::move(post_processor)},
                    {"decoder", byte_level},
                    {"model", file_parts::bpe_model(std::move(vocab), std::move(merges), {})}});
  Json config = Json::object(
      {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}});
  if (!special_tokens.empty()) config.set("eos_token", special_tokens[0]);
  for (const auto& [token, role] : kRoles)
    if (std::find(special_tokens.begin(), special_tokens.end(), token) != special_tokens.end())
      config.set(role, token);
  return Tokenizer::from_json(file, "tokenizer.json", config);
}

Tokenizer Tokenizer::bytes() {
  Json vocab = Json::object();
  for (int b = 0; b < 256; ++b) vocab.set(byte_level_text(static_cast<uint8_t>(b)), b);
  vocab.set("<|endoftext|>", 256);
  return make_byte_bpe(std::move(vocab), Json::array(), {"<|endoftext|>"}, false);
}

}  // namespace stemma
