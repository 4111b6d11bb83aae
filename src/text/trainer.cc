#include "text/trainer.h"

#include <algorithm>

#include "base/error.h"
#include "text/byte_bpe.h"
#include "text/file_parts.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/serde_number.h"
#include "text/train/bpe_trainer.h"
#include "text/train/unigram_trainer.h"
#include "text/train/word_counts.h"
#include "text/vocab.h"

namespace stemma {
namespace {

using namespace file_parts;

std::vector<std::string> default_special_tokens(TokenizerKind kind) {
  if (kind == TokenizerKind::byte_bpe) return {"<|endoftext|>"};
  if (kind == TokenizerKind::wordpiece) return {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  return {"<unk>", "<s>", "</s>"};
}

// What comes before the model.
struct Front {
  Json normalizer, pre_tokenizer;
};

Front front_of(const TokenizerTraining& training) {
  switch (training.kind) {
    case TokenizerKind::byte_bpe:
      return {Json(), byte_level(false, true, true)};
    case TokenizerKind::bpe:
      return {Json(), metaspace("always", true)};
    case TokenizerKind::wordpiece:
      return {component("BertNormalizer", {{"clean_text", true},
                                           {"handle_chinese_chars", true},
                                           {"strip_accents", nullptr},
                                           {"lowercase", training.lowercase}}),
              component("BertPreTokenizer")};
    case TokenizerKind::unigram:
      break;
  }
  return {sequence("normalizers", Json::array({component("NFKC"), replace("Regex", " {2,}", " ")})),
          metaspace("always", true)};
}

std::vector<CountedWord> count_words(const TextSource& texts, const Front& front,
                                     const TokenizerTraining& training, Team& team) {
  constexpr size_t kBatchBytes = size_t{8} << 20;
  const auto normalizer =
      front.normalizer.is_null() ? nullptr : parse_normalizer(front.normalizer, "trainer");
  const auto pre_tokenizer = parse_pre_tokenizer(front.pre_tokenizer, "trainer");
  WordCounter counter(normalizer.get(), pre_tokenizer.get(), training.max_words);
  std::vector<std::string> batch;
  size_t bytes = 0;
  const auto flush = [&] {
    counter.add(batch, team);
    batch.clear();
    bytes = 0;
  };
  while (const auto text = texts()) {
    batch.emplace_back(*text);
    bytes += text->size();
    if (bytes >= kBatchBytes) flush();
  }
  flush();
  return counter.take();
}

Vocab ids_of(const std::vector<std::string>& tokens) {
  Vocab vocab;
  for (size_t id = 0; id < tokens.size(); ++id)
    vocab.add(tokens[id], static_cast<int64_t>(id), "trainer");
  return vocab;
}

// The tokenizer.json, with the special tokens as added ones, and the roles their names tell.
Tokenizer assemble(const std::vector<std::string>& special, const Vocab& vocab, Front front,
                   Json decoder, ModelFile model) {
  static constexpr const char* kRoles[][2] = {{"<unk>", "unk_token"},   {"<s>", "bos_token"},
                                              {"</s>", "eos_token"},    {"[UNK]", "unk_token"},
                                              {"[PAD]", "pad_token"},   {"<pad>", "pad_token"},
                                              {"[CLS]", "cls_token"},   {"[SEP]", "sep_token"},
                                              {"[MASK]", "mask_token"}, {"<mask>", "mask_token"}};
  Json added = Json::array();
  Json config = Json::object(
      {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}});
  for (const std::string& token : special) {
    added.push_back(special_token(token, vocab.find(token)));
    for (const auto& [name, role] : kRoles)
      if (token == name) config.set(role, token);
  }
  Json parts = Json::object({{"version", "1.0"},
                             {"truncation", nullptr},
                             {"padding", nullptr},
                             {"added_tokens", std::move(added)},
                             {"normalizer", std::move(front.normalizer)},
                             {"pre_tokenizer", std::move(front.pre_tokenizer)},
                             {"post_processor", cls_sep(vocab)},
                             {"decoder", std::move(decoder)}});
  return Tokenizer::from_file({std::move(parts), std::move(model)}, "tokenizer.json", config);
}

bool has(const std::vector<std::string>& special, std::string_view token) {
  return std::ranges::find(special, token) != special.end();
}

Tokenizer train_bpe(const std::vector<CountedWord>& words, const std::vector<std::string>& special,
                    Front front, const TokenizerTraining& training) {
  BpeLesson lesson{training.vocab_size,     training.min_frequency, special, "", false,
                   training.limit_alphabet, training.progress};
  lesson.byte_level = training.kind == TokenizerKind::byte_bpe;
  if (training.kind == TokenizerKind::wordpiece) lesson.prefix = "##";
  const LearnedBpe learned = learn_bpe(words, lesson);
  const Vocab vocab = ids_of(learned.tokens);
  if (training.kind == TokenizerKind::byte_bpe)
    return make_byte_bpe(vocab, learned.merges, special, true);
  if (training.kind == TokenizerKind::wordpiece)
    return assemble(special, vocab, std::move(front),
                    component("WordPiece", {{"prefix", "##"}, {"cleanup", true}}),
                    {.fields = component("WordPiece", {{"unk_token", "[UNK]"},
                                                       {"continuing_subword_prefix", "##"},
                                                       {"max_input_chars_per_word", 100}}),
                     .vocab = vocab});
  const Json unknown = has(special, "<unk>") ? Json("<unk>") : Json();
  return assemble(special, vocab, std::move(front), metaspace("always", true),
                  bpe_model(vocab, learned.merges, {{"unk_token", unknown}, {"fuse_unk", true}}));
}

Tokenizer train_unigram(const std::vector<CountedWord>& words,
                        const std::vector<std::string>& special, Front front,
                        const TokenizerTraining& training, Team& team) {
  const auto unknown = std::ranges::find(special, "<unk>");
  if (unknown == special.end())
    fail(Code::kUsage, "[trainer] Unigram needs <unk> among the special tokens");
  UnigramLesson lesson;
  lesson.size = std::max(0, training.vocab_size - static_cast<int>(special.size()));
  lesson.progress = training.progress;
  std::vector<ScoredToken> pieces;
  for (const std::string& token : special) pieces.push_back({token, 0});
  for (ScoredToken& piece : learn_unigram(words, lesson, team))
    if (!has(special, piece.text)) pieces.push_back(std::move(piece));
  std::vector<std::string> tokens;
  for (ScoredToken& piece : pieces) {
    // What a file will give back.
    piece.score = serde_number(serde_text(piece.score), "trainer");
    tokens.push_back(piece.text);
  }
  return assemble(special, ids_of(tokens), std::move(front), metaspace("always", true),
                  {.fields = component("Unigram", {{"unk_id", unknown - special.begin()},
                                                   {"byte_fallback", false}}),
                   .scored = std::move(pieces)});
}

}  // namespace

Tokenizer train_tokenizer(const TextSource& texts, const TokenizerTraining& training, Team& team) {
  if (training.vocab_size < 0 || training.vocab_size > kMaxTokenId)
    fail(Code::kUsage, "[trainer] vocab_size ", training.vocab_size, " is not in 0..", kMaxTokenId);
  const std::vector<std::string> special = training.special_tokens.empty()
                                               ? default_special_tokens(training.kind)
                                               : training.special_tokens;
  Front front = front_of(training);
  const std::vector<CountedWord> words = count_words(texts, front, training, team);
  return training.kind == TokenizerKind::unigram
             ? train_unigram(words, special, std::move(front), training, team)
             : train_bpe(words, special, std::move(front), training);
}

Tokenizer train_tokenizer(std::span<const std::string_view> texts,
                          const TokenizerTraining& training, Team& team) {
  size_t next = 0;
  return train_tokenizer(
      [&]() -> std::optional<std::string_view> {
        if (next == texts.size()) return std::nullopt;
        return texts[next++];
      },
      training, team);
}

}  // namespace stemma
