// Models of sentencepiece, read as AlbertTokenizer, T5Tokenizer, XLMRobertaTokenizer,
// DebertaV2Tokenizer, XLNetTokenizer, LlamaTokenizer and GemmaTokenizer read them; without a class
// that is known here, as transformers reads a file of no class. A tokenizer.model that is none of
// sentencepiece's is a file of tiktoken.
#include <algorithm>
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

// What a class makes of a model.
struct Reading {
  std::vector<Piece> pieces;
  Defaults defaults;
  Json normalizer, pre_tokenizer, decoder;
};

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
// user's.
void add_symbols(const std::vector<Piece>& pieces, AddedList& added) {
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
    if (name == "AlbertTokenizer") return albert();
    if (name == "T5Tokenizer" || name == "MT5Tokenizer") return t5();
    if (name == "XLMRobertaTokenizer") return xlm_roberta();
    if (name == "DebertaV2Tokenizer") return deberta_v2();
    if (name == "XLNetTokenizer") return xlnet();
    if (name == "LlamaTokenizer") return llama();
    if (name == "GemmaTokenizer") return gemma();
    if (name == "PreTrainedTokenizer" || name == "TokenizersBackend" || name.empty())
      return nameless();
    fail(Code::kUnsupported, "[", where_, "] tokenizer_class ", name,
         " is not built without its tokenizer.json; there are AlbertTokenizer, T5Tokenizer, "
         "XLMRobertaTokenizer, DebertaV2Tokenizer, XLNetTokenizer, LlamaTokenizer, GemmaTokenizer, "
         "PreTrainedTokenizerFast");
  }

 private:
  void want(SentencePieceModel::Kind kind, const char* name) const {
    if (model_.kind != kind)
      fail(Code::kUnsupported, "[", where_, "] is no ",
           kind == SentencePieceModel::kBpe ? "BPE" : "Unigram", " model, as ", name, " has it");
  }

  // With a template of "cls", "sep", "$A", "$B", where the first two stand for the roles' tokens.
  OlderTokenizer unigram(const Defaults& defaults, int64_t unk_id, Json normalizer,
                         Json pre_tokenizer, Json decoder, std::vector<TemplatePiece> single,
                         std::vector<TemplatePiece> pair) {
    const Vocab vocab = vocab_of(model_.pieces, where_);
    AddedList added(vocab);
    added.add_configured(files_, defaults);
    add_symbols(model_.pieces, added);
    for (auto* list : {&single, &pair})
      for (TemplatePiece& piece : *list)
        if (piece.text[0] != '$') piece.text = files_.role_content(piece.text, defaults);
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

  // Four special tokens in fairseq's order instead of the three, and a mask behind the pieces.
  OlderTokenizer xlm_roberta() {
    want(SentencePieceModel::kUnigram, "XLMRobertaTokenizer");
    std::vector<Piece> pieces;
    for (const char* role : {"bos_token", "pad_token", "eos_token", "unk_token"})
      pieces.push_back({files_.role_content(role, kXlmRoberta)});
    check(model_.pieces.size() >= 3, "[", where_, "] has ", model_.pieces.size(), " pieces");
    pieces.insert(pieces.end(), model_.pieces.begin() + 3, model_.pieces.end());
    pieces.push_back({files_.role_content("mask_token", kXlmRoberta)});
    model_.pieces = std::move(pieces);
    const char* scheme = config_.get("add_prefix_space", true) ? "always" : "never";
    return unigram(kXlmRoberta, 3, precompiled(model_), words_and_metaspace(scheme),
                   metaspace(scheme, true), {{"bos_token"}, {"$A"}, {"eos_token"}},
                   {{"bos_token"}, {"$A"}, {"eos_token"}, {"eos_token"}, {"$B"}, {"eos_token"}});
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
    add_symbols(model_.pieces, added);
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
    add_symbols(model_.pieces, added);
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
