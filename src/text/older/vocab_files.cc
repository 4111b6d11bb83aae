// vocab.txt (BertTokenizer and its like), and vocab.json with merges.txt (GPT2Tokenizer,
// RobertaTokenizer, Qwen2Tokenizer, OpenAIGPTTokenizer).
#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/json_scanner.h"
#include "text/older/directory.h"
#include "text/utf8.h"

namespace stemma::older {
using namespace file_parts;
namespace {

const Defaults kBert{"", "", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};
const Defaults kRoberta{"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"};
const Defaults kGpt2{"<|endoftext|>", "<|endoftext|>", "<|endoftext|>", "", "", "", ""};
const Defaults kQwen2{"", "<|endoftext|>", "<|endoftext|>", "", "<|endoftext|>", "", ""};
const Defaults kGpt1{"", "", "<unk>", "", "", "", ""};

Vocab read_vocab(const std::string& where) {
  const std::string text = read_file(where);
  JsonScanner in(text, where);
  Vocab vocab = Vocab::read(in, where);
  in.finish();
  return vocab;
}

// One pair a line; a first line may name the version.
Merges read_merges(const std::string& where) {
  const std::string text = read_file(where);
  const size_t bad = utf8::first_invalid(text);
  check(bad == text.size(), "[", where, "] is not UTF-8 at byte ", bad);
  Merges merges;
  std::string_view rest = text;
  for (bool first = true; !rest.empty(); first = false) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if ((first && line.starts_with("#version")) || line.empty()) continue;
    const size_t space = line.find(' ');
    check(space != line.npos, "[", where, "] line '", line, "' is not two tokens with a space");
    merges.add(line.substr(0, space), line.substr(space + 1));
  }
  return merges;
}

// GPT-1's: words as BERT cuts them, their ends marked.
TokenizerFile gpt1_file(const Directory& files, ModelFile&& model, const AddedList& added) {
  Json normalizer = component("BertNormalizer", {{"clean_text", true},
                                                 {"handle_chinese_chars", true},
                                                 {"strip_accents", nullptr},
                                                 {"lowercase", true}});
  model.fields.set("unk_token", files.role_content("unk_token", kGpt1));
  model.fields.set("end_of_word_suffix", "</w>");
  return tokenizer_file(added, std::move(normalizer), component("BertPreTokenizer"),
                        bos_eos_template(files, kGpt1, added),
                        component("BPEDecoder", {{"suffix", "</w>"}}), std::move(model));
}

}  // namespace

OlderTokenizer read_wordpiece(const Directory& files) {
  const std::string name = files.class_name("BertTokenizer"), where = files.where("vocab.txt");
  if (name != "BertTokenizer" && name != "DistilBertTokenizer" && name != "ElectraTokenizer")
    fail(Code::kUnsupported, "[", where, "] tokenizer_class ", name,
         " is not built without its tokenizer.json; there are BertTokenizer, "
         "DistilBertTokenizer, ElectraTokenizer");
  ModelFile model{
      .fields = component("WordPiece", {{"unk_token", files.role_content("unk_token", kBert)},
                                        {"continuing_subword_prefix", "##"},
                                        {"max_input_chars_per_word", 100}}),
      .vocab = Vocab::from_lines(read_file(where), where)};
  AddedList added(*model.vocab);
  added.add_configured(files, kBert);
  added.add_additional(files);
  const Json& config = files.tokenizer_config;
  const Json* strip = config.find("strip_accents");
  const std::string cls = files.role_content("cls_token", kBert),
                    sep = files.role_content("sep_token", kBert);
  Json normalizer = component("BertNormalizer",
                              {{"clean_text", true},
                               {"handle_chinese_chars", config.get("tokenize_chinese_chars", true)},
                               {"strip_accents", strip != nullptr ? *strip : Json()},
                               {"lowercase", config.get("do_lower_case", true)}});
  Json post_processor = template_processing(
      {{cls}, {"$A"}, {sep}}, {{cls}, {"$A"}, {sep}, {"$B", 1}, {sep, 1}}, added, where);
  return {tokenizer_file(added, std::move(normalizer), component("BertPreTokenizer"),
                         std::move(post_processor),
                         component("WordPiece", {{"prefix", "##"}, {"cleanup", true}}),
                         std::move(model)),
          kBert};
}

OlderTokenizer read_vocab_and_merges(const Directory& files) {
  std::string name = files.class_name("GPT2Tokenizer");
  if (name == "BartTokenizer" || name == "LongformerTokenizer") name = "RobertaTokenizer";
  const Defaults* defaults = name == "GPT2Tokenizer"        ? &kGpt2
                             : name == "RobertaTokenizer"   ? &kRoberta
                             : name == "Qwen2Tokenizer"     ? &kQwen2
                             : name == "OpenAIGPTTokenizer" ? &kGpt1
                                                            : nullptr;
  const std::string where = files.where("vocab.json");
  if (defaults == nullptr)
    fail(Code::kUnsupported, "[", where, "] tokenizer_class ", name,
         " is not built without its tokenizer.json; there are GPT2Tokenizer, RobertaTokenizer, "
         "BartTokenizer, LongformerTokenizer, Qwen2Tokenizer, OpenAIGPTTokenizer");
  ModelFile model = bpe_model(read_vocab(where), read_merges(files.where("merges.txt")),
                              {{"continuing_subword_prefix", ""}, {"end_of_word_suffix", ""}});
  AddedList added(*model.vocab);
  added.add_configured(files, *defaults);
  added.add_additional(files);
  if (defaults == &kGpt1) return {gpt1_file(files, std::move(model), added), kGpt1};

  const bool prefix_space = files.tokenizer_config.get("add_prefix_space", false);
  Json normalizer, pre_tokenizer = byte_level(prefix_space, true, true), post_processor;
  if (defaults == &kRoberta) {
    const auto pair = [&](const char* role) {
      const std::string token = files.role_content(role, kRoberta);
      check(added.id(token) >= 0, "[", where, "] the ", role, " '", token,
            "' is not in the vocabulary");
      return Json::array({token, added.id(token)});
    };
    post_processor = component("RobertaProcessing",
                               {{"sep", pair("sep_token")},
                                {"cls", pair("cls_token")},
                                {"trim_offsets", files.tokenizer_config.get("trim_offsets", true)},
                                {"add_prefix_space", prefix_space}});
  } else {
    post_processor = bos_eos_template(files, *defaults, added);
  }
  if (defaults == &kQwen2) {
    normalizer = component("NFC");
    pre_tokenizer = sequence(
        "pretokenizers",
        Json::array({split(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
                           R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"),
                     byte_level(prefix_space, true, false)}));
  }
  return {tokenizer_file(added, std::move(normalizer), std::move(pre_tokenizer),
                         std::move(post_processor), byte_level(true, true, true), std::move(model)),
          *defaults};
}

}  // namespace stemma::older
