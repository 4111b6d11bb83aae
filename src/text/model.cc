#include "text/model.h"

#include <algorithm>

#include "base/error.h"

namespace stemma {
namespace {

// The table of tokens and ids, which all models but Unigram have.
Vocab take_vocab(ModelFile& model, std::string_view where) {
  check(model.vocab.has_value(), "[", where, "] vocab must be an object of token: id");
  return std::move(*model.vocab);
}

std::unique_ptr<Model> parse_wordpiece(ModelFile& model, std::string_view where) {
  const Json& json = model.fields;
  WordPieceOptions options;
  options.unk_token = json.at("unk_token").as_string();
  options.prefix = json.at("continuing_subword_prefix").as_string();
  options.max_chars = static_cast<int>(json.at("max_input_chars_per_word").as_int());
  return make_wordpiece(take_vocab(model, where), options, where);
}

std::unique_ptr<Model> parse_bpe(ModelFile& model, std::string_view where) {
  const Json& json = model.fields;
  check(model.merges.has_value(), "[", where, "] merges must be an array of pairs of tokens");
  BpeOptions options;
  options.dropout = json.get("dropout", 0.0);
  check(options.dropout >= 0 && options.dropout <= 1, "[", where, "] dropout ", options.dropout,
        " is not in 0..1");
  if (const Json* unk = json.find("unk_token"); unk != nullptr && !unk->is_null())
    options.unk_token = unk->as_string();
  options.prefix = json.get("continuing_subword_prefix", "");
  options.suffix = json.get("end_of_word_suffix", "");
  options.fuse_unk = json.get("fuse_unk", false);
  options.byte_fallback = json.get("byte_fallback", false);
  options.ignore_merges = json.get("ignore_merges", false);
  return make_bpe(take_vocab(model, where), *model.merges, options, where);
}

std::unique_ptr<Model> parse_unigram(ModelFile& model, std::string_view where) {
  const Json& json = model.fields;
  check(model.scored.has_value(), "[", where, "] vocab must be an array of [token, score]");
  UnigramOptions options;
  if (const Json* unk = json.find("unk_id"); unk != nullptr && !unk->is_null()) {
    const int64_t id = unk->as_int();
    check(id >= 0 && id <= kMaxTokenId, "[", where, "] unk_id is ", id);
    options.unk_id = static_cast<int32_t>(id);
  }
  options.byte_fallback = json.get("byte_fallback", false);
  return make_unigram(*model.scored, options, where);
}

// Where the tokens go: with their places, or only the ids.
struct PlacedTokens {
  std::vector<ModelToken>& out;
  uint32_t piece = 0;
  void add(int32_t id, uint32_t begin, uint32_t end) { out.push_back({id, begin, end, piece}); }
};
struct BareIds {
  std::vector<int32_t>& out;
  uint32_t piece = 0;
  void add(int32_t id, uint32_t, uint32_t) { out.push_back(id); }
};

// Adds tokens that lie one behind the other.
template <class Out>
class Sequel {
 public:
  Sequel(Out& out, uint32_t begin) : out_(out), from_(begin), to_(begin) {}
  void add(int32_t id, uint32_t length) {
    if (length > 0) {
      from_ = to_;
      to_ += length;
    }
    out_.add(id, from_, to_);
  }

 private:
  Out& out_;
  uint32_t from_, to_;
};

}  // namespace

void Model::cut_with_dropout(std::string_view word, WordKind kind, const Dropout&,
                             ModelScratch& scratch) const {
  cut(word, kind, scratch);
}

template <class Out>
void Model::encode_word(const PreTokens& text, uint32_t begin, uint32_t end, bool part,
                        ModelScratch& scratch, Out& out) const {
  const std::string_view word = text.text.substr(begin, end - begin);
  Sequel tokens(out, begin);
  const bool is_short = word.size() <= WordCache::kMaxBytes;
  WordCache::Key key{};
  if (is_short) {
    key = WordCache::key_of(word, text.text.size() - begin, part);
    if (const uint32_t* known = scratch.cache.find(key)) {
      for (size_t i = 0; i < WordCache::kMaxTokens && known[i] != WordCache::kNone; ++i)
        tokens.add(static_cast<int32_t>(known[i] & kMaxTokenId), known[i] >> 24);
      return;
    }
  }
  if (seams_ && !part && text.byte_level == reads_bytes_) {
    auto seam = static_cast<uint32_t>(seams_->next(text.text, begin, end));
    if (seam < end) {
      for (uint32_t at = begin; at < end; at = seam) {
        seam = static_cast<uint32_t>(seams_->next(text.text, at, end));
        encode_word(text, at, seam, true, scratch, out);
      }
      return;
    }
  }
  scratch.tokens.clear();
  cut(word, {text.byte_level, part}, scratch);
  if (is_short) scratch.cache.put(key, scratch.tokens);
  for (const WordToken& token : scratch.tokens) tokens.add(token.id, token.length);
}

// The end of the word that begins at `begin`: the next boundary, or the piece's end.
uint32_t Model::word_end(std::string_view text, uint32_t begin, uint32_t end) const {
  if (boundary_.empty()) return end;
  size_t at = begin;
  while (at < end && text.substr(at, boundary_.size()) == boundary_) at += boundary_.size();
  return static_cast<uint32_t>(std::min<size_t>(text.find(boundary_, at), end));
}

template <class Out>
void Model::encode_pieces(PreTokens& text, size_t limit, const Dropout& dropout,
                          ModelScratch& scratch, Out out) const {
  if (!reads_bytes_) text.write_image();
  for (const Piece& piece : text.pieces) {
    if (out.out.size() >= limit) return;
    if (piece.token >= 0) {
      out.add(piece.token, piece.begin, piece.end);
    } else if (dropout.probability > 0) {
      const Dropout here{dropout.probability, dropout.key.at(piece.begin)};
      scratch.tokens.clear();
      cut_with_dropout(text.of(piece), {text.byte_level, false}, here, scratch);
      Sequel tokens(out, piece.begin);
      for (const WordToken& token : scratch.tokens) tokens.add(token.id, token.length);
    } else {
      for (uint32_t begin = piece.begin, end; begin < piece.end; begin = end) {
        end = word_end(text.text, begin, piece.end);
        encode_word(text, begin, end, false, scratch, out);
      }
    }
    ++out.piece;
  }
}

void Model::encode(PreTokens& text, size_t limit, const Dropout& dropout, ModelScratch& scratch,
                   std::vector<ModelToken>& out) const {
  encode_pieces(text, limit, dropout, scratch, PlacedTokens{out});
}

void Model::encode_ids(PreTokens& text, size_t limit, const Dropout& dropout, ModelScratch& scratch,
                       std::vector<int32_t>& out) const {
  encode_pieces(text, limit, dropout, scratch, BareIds{out});
}

std::unique_ptr<Model> parse_model(ModelFile model, std::string_view where) {
  const Json& json = model.fields;
  // Old files leave the type out; the reference then takes the first model whose keys are there.
  const std::string type = json.get("type", model.merges                           ? "BPE"
                                            : json.has("max_input_chars_per_word") ? "WordPiece"
                                            : json.has("unk_token")                ? "WordLevel"
                                                                                   : "Unigram");
  if (type == "WordPiece") return parse_wordpiece(model, where);
  if (type == "BPE") return parse_bpe(model, where);
  if (type == "Unigram") return parse_unigram(model, where);
  if (type == "WordLevel")
    return make_word_level(take_vocab(model, where), json.at("unk_token").as_string(), where);
  if (type == "LongestMatch") return make_longest_match(take_vocab(model, where), where);
  fail(Code::kUnsupported, "[", where, "] model ", type,
       " is not one of BPE, WordPiece, WordLevel, Unigram, LongestMatch");
}

}  // namespace stemma
