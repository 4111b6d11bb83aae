// Models of sentencepiece, read as the classes of transformers read them that kReaders lists;
// without a class, as transformers reads a file of no class. A tokenizer.model that is none of
// sentencepiece's is a file of tiktoken.
#include <algorithm>
#include <span>
#include <tuple>

#include "base/error.h"
#include "base/file.h"
#include "text/charsmap.h"
#include "text/older/directory.h"
#include "text/sentencepiece.h"
#include "text/utf8.h"

namespace stemma::older {
using namespace file_parts;
namespace {

using Piece = SentencePieceModel::Piece;

const Defaults kAlbert{"[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"};
const Defaults kT5{"", "</s>", "<unk>", "", "<pad>", "", ""};
const Defaults kXlmRoberta{"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"};
const Defaults kDebertaV2{"[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};
const Defaults kXlnet{"<s>", "</s>", "<unk>", "<sep>", "<pad>", "<cls>", "<mask>", Side::left};
const Defaults kMbart{"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>", Side::right, true};
const Defaults kMbart50{"", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>", Side::right, true};
const Defaults kNllb{"<s>", "</s>",   "<unk>",     "</s>", "<pad>",
                     "<s>", "<mask>", Side::right, true,   true};
const Defaults kPegasus{"", "</s>", "<unk>", "", "<pad>", "", "<mask_2>"};
const Defaults kBigBird{"<s>",   "</s>",   "<unk>",     "[SEP]", "<pad>",
                        "[CLS]", "[MASK]", Side::right, true};
const Defaults kLlama{"<s>", "</s>", "<unk>", "", "", "", "", Side::left};
const Defaults kGemma{"<bos>", "<eos>", "<unk>", "", "<pad>", "", "<mask>", Side::left};

Vocab vocab_of(const std::vector<Piece>& pieces, const std::string& where) {
  Vocab vocab;
  for (size_t id = 0; id < pieces.size(); ++id)
    vocab.add(pieces[id].text, static_cast<int64_t>(id), where);
  return vocab;
}

ModelFile unigram_model(const std::vector<Piece>& pieces, int64_t unk_id, bool byte_fallback,
                        const std::string& where) {
  check(unk_id >= 0 && static_cast<size_t>(unk_id) < pieces.size(), "[", where,
        "] the unknown token's id ", unk_id, " is not one of the ", pieces.size(), " pieces");
  std::vector<ScoredToken> scored;
  scored.reserve(pieces.size());
  for (const Piece& piece : pieces) scored.push_back({piece.text, piece.score});
  return {.fields = component("Unigram", {{"unk_id", unk_id}, {"byte_fallback", byte_fallback}}),
          .scored = std::move(scored)};
}

// Every way to cut a piece in two pieces is a merge; in the order of the pieces, then of the parts'
// lengths, then of their ids.
Merges generated_merges(const std::vector<Piece>& pieces, const Vocab& vocab) {
  struct Merge {
    std::string_view left, right;
    size_t left_size, right_size;  // characters
    int32_t left_id, right_id;
  };
  Merges merges;
  std::vector<Merge> of_piece;
  for (size_t id = 0; id < pieces.size(); ++id) {
    const std::string_view text = pieces[id].text;
    if (vocab.find(text) != static_cast<int32_t>(id)) continue;  // the later of two counts
    of_piece.clear();
    const size_t size = utf8::count(text);
    for (size_t at = 0, left = 1; left < size; ++left) {
      utf8::next(text, at);
      const int32_t left_id = vocab.find(text.substr(0, at)),
                    right_id = vocab.find(text.substr(at));
      if (left_id >= 0 && right_id >= 0)
        of_piece.push_back(
            {text.substr(0, at), text.substr(at), left, size - left, left_id, right_id});
    }
    std::ranges::sort(of_piece, {}, [](const Merge& m) {
      return std::tuple(m.left_size, m.right_size, m.left_id, m.right_id);
    });
    for (const Merge& merge : of_piece) merges.add(merge.left, merge.right);
  }
  return merges;
}

ModelFile sentencepiece_bpe(const std::vector<Piece>& pieces, const Vocab& vocab,
                            const Json& unk_token, bool byte_fallback) {
  return bpe_model(
      vocab, generated_merges(pieces, vocab),
      {{"unk_token", unk_token}, {"fuse_unk", true}, {"byte_fallback", byte_fallback}});
}

Json precompiled(const SentencePieceModel& model) {
  if (model.charsmap.empty()) return {};
  return component("Precompiled", {{"precompiled_charsmap", base64_encode(model.charsmap)}});
}

// The languages of MBart50; MBart has the first 25.
constexpr std::string_view kMbartLanguages[] = {
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN",
    "hi_IN", "it_IT", "ja_XX", "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP",
    "nl_XX", "ro_RO", "ru_RU", "si_LK", "tr_TR", "vi_VN", "zh_CN", "af_ZA", "az_AZ",
    "bn_IN", "fa_IR", "he_IL", "hr_HR", "id_ID", "ka_GE", "km_KH", "mk_MK", "ml_IN",
    "mn_MN", "mr_IN", "pl_PL", "ps_AF", "pt_XX", "sv_SE", "sw_KE", "ta_IN", "te_IN",
    "th_TH", "tl_XX", "uk_UA", "ur_PK", "xh_ZA", "gl_ES", "sl_SI"};

// ALBERT and XLNet: quotes, accents, case, then sentencepiece's map.
Json albert_normalizer(const SentencePieceModel& model, bool keep_accents, bool lower) {
  Json steps = Json::array({replace("String", "``", "\""), replace("String", "''", "\"")});
  if (!keep_accents) {
    steps.push_back(component("NFKD"));
    steps.push_back(component("StripAccents"));
  }
  if (lower) steps.push_back(component("Lowercase"));
  if (!model.charsmap.empty()) steps.push_back(precompiled(model));
  return sequence("normalizers", std::move(steps));
}

// Sentencepiece's map, where there is one, and one space for several.
Json charsmap_and_single_spaces(const SentencePieceModel& model) {
  Json steps = Json::array();
  if (!model.charsmap.empty()) steps.push_back(precompiled(model));
  steps.push_back(replace("Regex", " {2,}", " "));
  return sequence("normalizers", std::move(steps));
}

Json words_and_metaspace(const char* prepend_scheme = "always") {
  return sequence("pretokenizers",
                  Json::array({component("WhitespaceSplit"), metaspace(prepend_scheme, true)}));
}

Json byte_fallback_decoder(bool strip) {
  Json steps =
      Json::array({replace("String", "\u2581", " "), component("ByteFallback"), component("Fuse")});
  if (strip) steps.push_back(component("Strip", {{"content", " "}, {"start", 1}, {"stop", 0}}));
  return sequence("decoders", std::move(steps));
}

// The tokens that sentencepiece itself cuts out: control symbols, which are special, and the
// user's. Additional tokens of the configuration take their place, and that of the class's own.
void add_symbols(const Directory& files, const std::vector<std::string>& own,
                 const std::vector<Piece>& pieces, AddedList& added) {
  if (added.add_additional(files)) return;
  for (const std::string& token : own) added.add(token, true);
  for (const Piece& piece : pieces) {
    const bool control = piece.type == SentencePieceModel::kControl;
    if (!control && piece.type != SentencePieceModel::kUserDefined) continue;
    added.add(Json::object({{"content", piece.text}, {"normalized", false}}), control);
  }
}

class SentencePieceReader {
 public:
  SentencePieceReader(const Directory& files, SentencePieceModel model, std::string where)
      : files_(files),
        config_(files.tokenizer_config),
        model_(std::move(model)),
        where_(std::move(where)) {}

  OlderTokenizer read(const std::string& name) {
    using Read = OlderTokenizer (SentencePieceReader::*)();
    static constexpr std::pair<std::string_view, Read> kReaders[] = {
        {"AlbertTokenizer", &SentencePieceReader::albert},
        {"T5Tokenizer", &SentencePieceReader::t5},
        {"MT5Tokenizer", &SentencePieceReader::t5},
        {"XLMRobertaTokenizer", &SentencePieceReader::xlm_roberta},
        {"DebertaV2Tokenizer", &SentencePieceReader::deberta_v2},
        {"XLNetTokenizer", &SentencePieceReader::xlnet},
        {"MBartTokenizer", &SentencePieceReader::mbart},
        {"MBart50Tokenizer", &SentencePieceReader::mbart50},
        {"NllbTokenizer", &SentencePieceReader::nllb},
        {"CamembertTokenizer", &SentencePieceReader::camembert},
        {"PegasusTokenizer", &SentencePieceReader::pegasus},
        {"BigBirdTokenizer", &SentencePieceReader::big_bird},
        {"LlamaTokenizer", &SentencePieceReader::llama},
        {"GemmaTokenizer", &SentencePieceReader::gemma},
        {"PreTrainedTokenizer", &SentencePieceReader::nameless},
        {"TokenizersBackend", &SentencePieceReader::nameless},
        {"", &SentencePieceReader::nameless}};
    std::string all;
    for (const auto& [known, reader] : kReaders) {
      if (known == name) return (this->*reader)();
      if (!known.empty()) all += cat(all.empty() ? "" : ", ", known);
    }
    fail(Code::kUnsupported, "[", where_, "] tokenizer_class ", name,
         " is not built without its tokenizer.json; there are ", all);
  }

 private:
  void want(SentencePieceModel::Kind kind, const char* name) const {
    if (model_.kind != kind)
      fail(Code::kUnsupported, "[", where_, "] is no ",
           kind == SentencePieceModel::kBpe ? "BPE" : "Unigram", " model, as ", name, " has it");
  }

  // With templates of "$A", "$B", roles and tokens.
  OlderTokenizer unigram(const Defaults& defaults, int64_t unk_id, Json normalizer,
                         Json pre_tokenizer, Json decoder, std::vector<TemplatePiece> single,
                         std::vector<TemplatePiece> pair,
                         const std::vector<std::string>& own_tokens = {}) {
    const Vocab vocab = vocab_of(model_.pieces, where_);
    AddedList added(vocab);
    added.add_configured(files_, defaults);
    add_symbols(files_, own_tokens, model_.pieces, added);
    for (auto* list : {&single, &pair})
      for (TemplatePiece& piece : *list)
        if (piece.text.ends_with("_token")) piece.text = files_.role_content(piece.text, defaults);
    Json post_processor = template_processing(single, pair, added, where_);
    return {tokenizer_file(added, std::move(normalizer), std::move(pre_tokenizer),
                           std::move(post_processor), std::move(decoder),
                           unigram_model(model_.pieces, unk_id, false, where_)),
            defaults};
  }

  OlderTokenizer albert() {
    want(SentencePieceModel::kUnigram, "AlbertTokenizer");
    for (const char* role : {"cls_token", "sep_token"}) {
      const std::string token = files_.role_content(role, kAlbert);
      check(std::ranges::any_of(model_.pieces, [&](const Piece& p) { return p.text == token; }),
            "[", where_, "] the ", role, " '", token, "' is not in the vocabulary");
    }
    return unigram(kAlbert, 1,
                   albert_normalizer(model_, config_.get("keep_accents", false),
                                     config_.get("do_lower_case", true)),
                   words_and_metaspace(), metaspace("always", true),
                   {{"cls_token"}, {"$A"}, {"sep_token"}},
                   {{"cls_token"}, {"$A"}, {"sep_token"}, {"$B", 1}, {"sep_token", 1}});
  }

  // The sentinels lie behind the pieces, the last one first.
  OlderTokenizer t5() {
    want(SentencePieceModel::kUnigram, "T5Tokenizer");
    const int64_t extra = config_.get("extra_ids", 100);
    check(extra >= 0 && extra <= kMaxTokenId, "[", where_, "] extra_ids is ", extra);
    for (int64_t i = extra; i-- > 0;)
      model_.pieces.push_back({cat("<extra_id_", i, ">"), 0, SentencePieceModel::kControl});
    return unigram(kT5, 2, precompiled(model_), words_and_metaspace(), metaspace("always", true),
                   {{"$A"}, {"eos_token"}}, {{"$A"}, {"eos_token"}, {"$B"}, {"eos_token"}});
  }

  // Four special tokens in fairseq's order instead of the three, other tokens and a mask behind the
  // pieces.
  void order_as_fairseq(const Defaults& defaults, std::span<const std::string_view> behind = {}) {
    std::vector<Piece> pieces;
    for (const char* role : {"bos_token", "pad_token", "eos_token", "unk_token"}) {
      const bool bos = std::string_view(role) == "bos_token";
      pieces.push_back(
          {files_.role_content(bos && defaults.bos.empty() ? "cls_token" : role, defaults)});
    }
    check(model_.pieces.size() >= 3, "[", where_, "] has ", model_.pieces.size(), " pieces");
    pieces.insert(pieces.end(), model_.pieces.begin() + 3, model_.pieces.end());
    for (const std::string_view token : behind) pieces.push_back({std::string(token)});
    pieces.push_back({files_.role_content("mask_token", defaults)});
    model_.pieces = std::move(pieces);
  }

  OlderTokenizer xlm_roberta() {
    want(SentencePieceModel::kUnigram, "XLMRobertaTokenizer");
    order_as_fairseq(kXlmRoberta);
    return fairseq(kXlmRoberta, 3);
  }

  // <s> text </s>, pairs with two </s> between.
  OlderTokenizer fairseq(const Defaults& defaults, int64_t unk_id) {
    const char* scheme = config_.get("add_prefix_space", true) ? "always" : "never";
    return unigram(defaults, unk_id, precompiled(model_), words_and_metaspace(scheme),
                   metaspace(scheme, true), {{"bos_token"}, {"$A"}, {"eos_token"}},
                   {{"bos_token"}, {"$A"}, {"eos_token"}, {"eos_token"}, {"$B"}, {"eos_token"}});
  }

  // Like XLM-R's, with three tokens of the dictionary left in that nothing makes.
  OlderTokenizer camembert() {
    want(SentencePieceModel::kUnigram, "CamembertTokenizer");
    const std::string unk = files_.role_content("unk_token", kMbart);
    std::vector<Piece> pieces{{"<s>NOTUSED"},
                              {files_.role_content("pad_token", kMbart)},
                              {"</s>NOTUSED"},
                              {unk},
                              {"<unk>NOTUSED", -100}};
    check(!model_.pieces.empty(), "[", where_, "] has no pieces");
    pieces.insert(pieces.end(), model_.pieces.begin() + 1, model_.pieces.end());
    pieces.push_back({files_.role_content("mask_token", kMbart)});
    model_.pieces = std::move(pieces);
    const auto found = std::ranges::find(model_.pieces, unk, &Piece::text);
    return fairseq(kMbart, found - model_.pieces.begin());
  }

  // What a text's language is, behind the text (MBart) or before it (the others).
  TemplatePiece language(const char* fallback) const {
    return {config_.get("src_lang", fallback), 0, 3};  // an unknown one is <unk>
  }

  OlderTokenizer mbart() {
    want(SentencePieceModel::kUnigram, "MBartTokenizer");
    const std::span languages = std::span(kMbartLanguages).first(25);
    order_as_fairseq(kMbart, languages);
    const TemplatePiece source = language("en_XX");
    return unigram(kMbart, 3, Json(), words_and_metaspace(), metaspace("always", true),
                   {{"$A"}, {"eos_token"}, source}, {{"$A"}, {"$B"}, {"eos_token"}, source},
                   {languages.begin(), languages.end()});
  }

  OlderTokenizer mbart50() {
    want(SentencePieceModel::kUnigram, "MBart50Tokenizer");
    order_as_fairseq(kMbart50, kMbartLanguages);
    const TemplatePiece source = language("en_XX");
    return unigram(kMbart50, 3, charsmap_and_single_spaces(model_), metaspace("always", true),
                   metaspace("always", true), {source, {"$A"}, {"eos_token"}},
                   {source, {"$A"}, {"$B"}, {"eos_token"}},
                   {std::begin(kMbartLanguages), std::end(kMbartLanguages)});
  }

  OlderTokenizer nllb() {
    want(SentencePieceModel::kBpe, "NllbTokenizer");
    const Vocab ranked = vocab_of(model_.pieces, where_);
    Vocab vocab;
    for (const char* role : {"bos_token", "pad_token", "eos_token", "unk_token"})
      vocab.add(files_.role_content(role, kNllb), vocab.size(), where_);
    for (const auto& [token, id] : ranked.entries())
      if (vocab.find(token) < 0) vocab.add(token, vocab.size(), where_);
    ModelFile model =
        bpe_model(std::move(vocab), generated_merges(model_.pieces, ranked),
                  {{"unk_token", files_.role_content("unk_token", kNllb)}, {"fuse_unk", true}});
    AddedList added(*model.vocab);
    added.add_configured(files_, kNllb);
    add_symbols(files_, {}, model_.pieces, added);
    const TemplatePiece source = language("eng_Latn"), eos{files_.role_content("eos_token", kNllb)};
    const bool legacy = config_.get("legacy_behaviour", false);
    using Pieces = std::vector<TemplatePiece>;
    Json post_processor = template_processing(
        legacy ? Pieces{{"$A"}, eos, source} : Pieces{source, {"$A"}, eos},
        legacy ? Pieces{{"$A"}, {"$B"}, eos, source} : Pieces{source, {"$A"}, {"$B"}, eos}, added,
        where_);
    Json normalizer = model_.charsmap.empty() ? Json() : charsmap_and_single_spaces(model_);
    return {tokenizer_file(added, std::move(normalizer), metaspace("always", true),
                           std::move(post_processor), metaspace("always", true), std::move(model)),
            kNllb};
  }

  // Padding, end, two masks and tokens for pretraining instead of the first two pieces; only those
  // are cut out of texts.
  OlderTokenizer pegasus() {
    want(SentencePieceModel::kUnigram, "PegasusTokenizer");
    const auto sentence_mask = [&](const char* fallback) -> std::string {
      const Json* token = config_.find("mask_token_sent");
      return token == nullptr ? fallback : token->is_null() ? "" : token->as_string();
    };
    const int64_t offset = config_.get("offset", 103);
    check(offset >= 0 && offset <= kMaxTokenId, "[", where_, "] offset is ", offset);
    std::vector<Piece> pieces;
    for (const char* role : {"pad_token", "eos_token"})
      pieces.push_back({files_.role_content(role, kPegasus)});
    // Which mask comes first depends on whether the configuration has one.
    const Json mask = files_.role("mask_token", "<mask_1>");
    pieces.push_back({mask.is_object() ? mask.at("content").as_string() : mask.as_string()});
    if (const std::string second = sentence_mask("<mask_2>");
        !second.empty() && second != pieces.back().text)
      pieces.push_back({second});
    std::vector<std::string> own;
    if (const std::string token = sentence_mask("<mask_1>"); !token.empty()) own.push_back(token);
    for (int64_t i = 2; i < offset; ++i) {
      own.push_back(cat("<unk_", i, ">"));
      pieces.push_back({own.back(), -100});
    }
    check(model_.pieces.size() >= 2, "[", where_, "] has ", model_.pieces.size(), " pieces");
    for (size_t i = 2; i < model_.pieces.size(); ++i)
      pieces.push_back({model_.pieces[i].text, model_.pieces[i].score});
    model_.pieces = std::move(pieces);
    const int64_t unk_id = unscored(files_.role_content("unk_token", kPegasus), 1);
    check(unk_id >= 0, "[", where_, "] has no unknown token");
    Json normalizer = charsmap_and_single_spaces(model_);
    if (model_.charsmap.empty())
      normalizer =
          sequence("normalizers",
                   Json::array({replace("Regex", "\\n", " "), replace("Regex", " {2,}", " ")}));
    return unigram(kPegasus, unk_id, std::move(normalizer), metaspace("always", true),
                   metaspace("always", true), {{"$A"}, {"eos_token"}},
                   {{"$A"}, {"$B"}, {"eos_token"}}, own);
  }

  OlderTokenizer big_bird() {
    want(SentencePieceModel::kUnigram, "BigBirdTokenizer");
    const int64_t found = unscored(files_.role_content("unk_token", kBigBird), 0);
    Json normalizer =
        sequence("normalizers",
                 Json::array({component("Strip", {{"strip_left", false}, {"strip_right", false}}),
                              replace("Regex", " {2,}", "\u2581")}));
    const char* scheme = config_.get("add_prefix_space", true) ? "always" : "never";
    return unigram(kBigBird, found >= 0 ? found : 100, std::move(normalizer),
                   metaspace(scheme, true), metaspace(scheme, true),
                   {{"cls_token"}, {"$A"}, {"sep_token"}},
                   {{"cls_token"}, {"$A"}, {"sep_token"}, {"$B", 1}, {"sep_token", 1}});
  }

  // The first piece from `from` on with this text and the score 0; -1 where there is none.
  int64_t unscored(const std::string& text, size_t from) const {
    for (size_t i = from; i < model_.pieces.size(); ++i)
      if (model_.pieces[i].text == text && model_.pieces[i].score == 0)
        return static_cast<int64_t>(i);
    return -1;
  }

  OlderTokenizer deberta_v2() {
    want(SentencePieceModel::kUnigram, "DebertaV2Tokenizer");
    Json normalizers = Json::array();
    if (config_.get("do_lower_case", false)) normalizers.push_back(component("Lowercase"));
    normalizers.push_back(replace("Regex", R"(\s{2,}|[\n\r\t])", " "));
    normalizers.push_back(component("NFC"));
    normalizers.push_back(component("Strip", {{"strip_left", false}, {"strip_right", true}}));
    Json steps = Json::array();
    if (config_.get("split_by_punct", false))
      steps.push_back(component("Punctuation", {{"behavior", "Isolated"}}));
    const char* scheme = config_.get("add_prefix_space", true) ? "always" : "first";
    steps.push_back(metaspace(scheme, true));
    int64_t unk_id = model_.unk_id;
    const std::string unk = files_.role_content("unk_token", kDebertaV2);
    for (size_t i = model_.pieces.size(); i-- > 0;)
      if (model_.pieces[i].text == unk && model_.pieces[i].score == 0)
        unk_id = static_cast<int64_t>(i);
    return unigram(kDebertaV2, unk_id, sequence("normalizers", std::move(normalizers)),
                   sequence("pretokenizers", std::move(steps)), metaspace(scheme, true),
                   {{"cls_token"}, {"$A"}, {"sep_token"}},
                   {{"cls_token"}, {"$A"}, {"sep_token"}, {"$B", 1}, {"sep_token", 1}});
  }

  OlderTokenizer xlnet() {
    want(SentencePieceModel::kUnigram, "XLNetTokenizer");
    return unigram(kXlnet, model_.unk_id,
                   albert_normalizer(model_, false, config_.get("do_lower_case", false)),
                   words_and_metaspace(), metaspace("always", true),
                   {{"$A"}, {"sep_token"}, {"cls_token", 2}},
                   {{"$A"}, {"sep_token"}, {"$B", 1}, {"sep_token", 1}, {"cls_token", 2}});
  }

  OlderTokenizer bpe(const Defaults& defaults, const Json& unk_token, bool byte_fallback,
                     Json normalizer, Json pre_tokenizer, Json decoder) {
    const Vocab vocab = vocab_of(model_.pieces, where_);
    AddedList added(vocab);
    added.add_configured(files_, defaults);
    add_symbols(files_, {}, model_.pieces, added);
    return {tokenizer_file(added, std::move(normalizer), std::move(pre_tokenizer),
                           bos_eos_template(files_, defaults, added), std::move(decoder),
                           sentencepiece_bpe(model_.pieces, vocab, unk_token, byte_fallback)),
            defaults};
  }

  OlderTokenizer llama() {
    want(SentencePieceModel::kBpe, "LlamaTokenizer");
    const bool prefix = config_.get("add_prefix_space", true);
    const char* scheme = !prefix ? "never" : config_.get("legacy", false) ? "always" : "first";
    return bpe(kLlama, Json(), true, Json(), metaspace(scheme, false),
               byte_fallback_decoder(prefix));
  }

  OlderTokenizer gemma() {
    want(SentencePieceModel::kBpe, "GemmaTokenizer");
    return bpe(kGemma, files_.role_content("unk_token", kGemma), true,
               replace("String", " ", "\u2581"),
               component("Split", {{"pattern", Json::object({{"String", " "}})},
                                   {"behavior", "MergedWithPrevious"},
                                   {"invert", false}}),
               byte_fallback_decoder(false));
  }

  // As the model itself says.
  OlderTokenizer nameless() {
    const auto piece = [&](int32_t id) -> std::string {
      const bool there = id >= 0 && static_cast<size_t>(id) < model_.pieces.size();
      return there ? model_.pieces[id].text : "";
    };
    Defaults defaults;
    defaults.bos = piece(model_.bos_id);
    defaults.eos = piece(model_.eos_id);
    defaults.unk = piece(model_.unk_id);
    Json normalizers = Json::array();
    if (!model_.charsmap.empty()) normalizers.push_back(precompiled(model_));
    normalizers.push_back(replace("String", " ", "\u2581"));
    Json normalizer = sequence("normalizers", std::move(normalizers));
    Json decoder = model_.byte_fallback
                       ? byte_fallback_decoder(false)
                       : sequence("decoders", Json::array({replace("String", "\u2581", " ")}));
    const Vocab vocab = vocab_of(model_.pieces, where_);
    AddedList added(vocab);
    added.add_configured(files_, defaults);
    add_symbols(files_, {}, model_.pieces, added);
    ModelFile model =
        model_.kind == SentencePieceModel::kBpe
            ? sentencepiece_bpe(model_.pieces, vocab, Json(defaults.unk), model_.byte_fallback)
            : unigram_model(model_.pieces, model_.unk_id, model_.byte_fallback, where_);
    Json post_processor = bos_eos_template(files_, defaults, added);
    return {tokenizer_file(added, std::move(normalizer), Json(), std::move(post_processor),
                           std::move(decoder), std::move(model)),
            defaults};
  }

  const Directory& files_;
  const Json& config_;
  SentencePieceModel model_;
  std::string where_;
};

}  // namespace

OlderTokenizer read_sentencepiece(const Directory& files, const char* name) {
  const std::string where = files.where(name), bytes = read_file(where);
  constexpr char kFirstPiece = 1 << 3 | 2;  // the tag with which a sentencepiece model begins
  if (!bytes.starts_with(kFirstPiece)) return read_tiktoken(files, name);
  return SentencePieceReader(files, parse_sentencepiece(bytes, where), where)
      .read(files.class_name(""));
}

}  // namespace stemma::older
