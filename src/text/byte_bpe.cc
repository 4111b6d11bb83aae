#include "text/byte_bpe.h"

#include <algorithm>
#include <utility>

#include "text/added_tokens.h"
#include "text/byte_level.h"

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
    added.push_back(added_token_json({.content = content, .normalized = false, .special = true},
                                     static_cast<int32_t>(vocab.at(content).as_int())));
  // [CLS] text [SEP], as BERT reads it, where both are there.
  Json post_processor;
  if (vocab.has("[CLS]") && vocab.has("[SEP]"))
    post_processor = Json::object({{"type", "BertProcessing"},
                                   {"sep", Json::array({"[SEP]", vocab.at("[SEP]")})},
                                   {"cls", Json::array({"[CLS]", vocab.at("[CLS]")})}});
  const Json byte_level = Json::object({{"type", "ByteLevel"},
                                        {"add_prefix_space", false},
                                        {"trim_offsets", true},
                                        {"use_regex", split}});
  const Json model = Json::object({{"type", "BPE"},
                                   {"dropout", nullptr},
                                   {"unk_token", nullptr},
                                   {"continuing_subword_prefix", nullptr},
                                   {"end_of_word_suffix", nullptr},
                                   {"fuse_unk", false},
                                   {"byte_fallback", false},
                                   {"ignore_merges", false},
                                   {"vocab", std::move(vocab)},
                                   {"merges", std::move(merges)}});
  const Json file = Json::object({{"version", "1.0"},
                                  {"truncation", nullptr},
                                  {"padding", nullptr},
                                  {"added_tokens", added},
                                  {"normalizer", nullptr},
                                  {"pre_tokenizer", byte_level},
                                  {"post_processor", std::move(post_processor)},
                                  {"decoder", byte_level},
                                  {"model", model}});
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
