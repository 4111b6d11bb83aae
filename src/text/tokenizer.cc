#include "text/tokenizer.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "text/byte_level.h"
#include "text/tokenizer_impl.h"

namespace stemma {
namespace {

const Json& member(const Json& json, std::string_view key) {
  static const Json null;
  const Json* found = json.find(key);
  return found == nullptr ? null : *found;
}

// Counts code points while walking through a text, forth and (seldom) back.
class CodePointCounter {
 public:
  explicit CodePointCounter(std::string_view text) : text_(text), ascii_(utf8::is_ascii(text)) {}

  int32_t at(uint32_t byte) {
    if (ascii_) return static_cast<int32_t>(byte);
    for (; byte_ < byte; ++byte_) count_ += !utf8::is_continuation(text_[byte_]);
    while (byte_ > byte) count_ -= !utf8::is_continuation(text_[--byte_]);
    return count_;
  }

 private:
  std::string_view text_;
  bool ascii_;
  uint32_t byte_ = 0;
  int32_t count_ = 0;  // of the code points that begin before byte_
};

constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

}  // namespace

Tokenizer::Impl::Impl(std::string text, std::string_view place)
    : where(place), file(std::move(text)) {
  build(TokenizerFile::parse(std::get<std::string>(file), where));
}

Tokenizer::Impl::Impl(TokenizerFile made, std::string_view place)
    : where(place), file(std::move(made)) {
  build(std::get<TokenizerFile>(file));
}

void Tokenizer::Impl::build(TokenizerFile parsed) {
  const Json& json = parsed.parts;
  if (const Json& version = member(json, "version");
      !version.is_null() && !(version == Json("1.0")))
    fail(Code::kUnsupported, "[", where, "] version ", version.dump(), " is not \"1.0\"");
  // Errors of the JSON reader do not know which file and which part they are about.
  const auto of = [&](std::string_view key, const Json& value, auto parse) {
    try {
      if (!value.is_null()) parse(value);
    } catch (const Error& error) {
      constexpr std::string_view kReader = "[json] ";
      if (!error.message().starts_with(kReader)) throw;
      fail(error.code(), "[", where, "] ", key, ": ", error.message().substr(kReader.size()));
    }
  };
  const auto part = [&](std::string_view key, auto parse) { of(key, member(json, key), parse); };
  part("normalizer", [&](const Json& j) { normalizer = parse_normalizer(j, where); });
  part("pre_tokenizer", [&](const Json& j) { pre_tokenizer = parse_pre_tokenizer(j, where); });
  of("model", parsed.model.fields,
     [&](const Json&) { model = parse_model(std::move(parsed.model), where); });
  part("post_processor", [&](const Json& j) { post_processor = parse_post_processor(j, where); });
  part("decoder", [&](const Json& j) { decoder = parse_decoder(j, where); });
  check(model != nullptr, "[", where, "] has no model");
  part("truncation", [&](const Json& j) { read_truncation(j); });
  part("padding", [&](const Json& j) { read_padding(j); });
  part("added_tokens", [&](const Json& j) {
    std::vector<AddedToken> tokens;
    for (const Json& token : j.items()) tokens.push_back(parse_added_token(token));
    added.add(tokens, model->vocab(), normalizer.get(), where);
  });
}

void Tokenizer::Impl::read_roles(const Json& names) {
  const auto role = [&](std::string_view key, std::optional<int32_t>& id) {
    const Json& value = member(names, key);
    const Json& content = value.is_object() ? member(value, "content") : value;
    if (id || !content.is_string()) return;
    int32_t found = added.find(content.as_string());
    if (found < 0) found = model->vocab().find(content.as_string());
    if (found >= 0) id = found;
  };
  role("bos_token", special.bos);
  role("eos_token", special.eos);
  role("unk_token", special.unk);
  role("sep_token", special.sep);
  role("pad_token", special.pad);
  role("cls_token", special.cls);
  role("mask_token", special.mask);
  if (special.pad) padding.id = *special.pad;
}

namespace {

// The number of a key that may be absent, in 0..2^31-1.
int count_of(const Json& json, std::string_view key, std::string_view where) {
  const int64_t value = json.get(key, 0);
  check(value >= 0 && value <= std::numeric_limits<int>::max(), "[", where, "] ", key, " is ",
        value);
  return static_cast<int>(value);
}

Side parse_side(std::string_view name, std::string_view where) {
  if (name == "left" || name == "Left") return Side::left;
  check(name == "right" || name == "Right", "[", where, "] the side '", name,
        "' is neither left nor right");
  return Side::right;
}

}  // namespace

void Tokenizer::Impl::read_truncation(const Json& json) {
  truncation.max_length = count_of(json, "max_length", where);
  truncation.stride = count_of(json, "stride", where);
  truncation.side = parse_side(json.get("direction", "Right"), where);
  const std::string strategy = json.get("strategy", "LongestFirst");
  using Strategy = Truncation::Strategy;
  truncation.strategy = strategy == "OnlyFirst"    ? Strategy::only_first
                        : strategy == "OnlySecond" ? Strategy::only_second
                                                   : Strategy::longest_first;
  check(truncation.strategy != Strategy::longest_first || strategy == "LongestFirst", "[", where,
        "] truncation strategy ", strategy, " is none of LongestFirst, OnlyFirst, OnlySecond");
}

void Tokenizer::Impl::read_padding(const Json& json) {
  const Json& strategy = json.at("strategy");  // "BatchLongest" or {"Fixed": n}
  if (strategy.is_object()) padding.length = count_of(strategy, "Fixed", where);
  padding.multiple_of = count_of(json, "pad_to_multiple_of", where);
  padding.side = parse_side(json.get("direction", "Right"), where);
  padding.id = count_of(json, "pad_id", where);
  padding.type_id = count_of(json, "pad_type_id", where);
}

void Tokenizer::Impl::read_config(const Json& config) {
  read_roles(config);
  if (config.has("truncation_side"))
    truncation.side = parse_side(config.get("truncation_side", "right"), where);
  if (config.has("padding_side"))
    padding.side = parse_side(config.get("padding_side", "right"), where);
  if (config.has("pad_token_type_id"))
    padding.type_id = count_of(config, "pad_token_type_id", where);
  // Files without a limit hold numbers such as 1e30.
  const Json& length = member(config, "model_max_length");
  if (!length.is_number()) return;
  const double value = length.as_double();
  if (value >= 1 && value <= std::numeric_limits<int>::max()) max_length = static_cast<int>(value);
}

const std::string* Tokenizer::Impl::token(int32_t id) const {
  const AddedToken* token = added.token(id);
  return token != nullptr ? &token->content : model->vocab().token(id);
}

Draft::Spaces Tokenizer::Impl::spaces(const ModelToken& token, const PreTokens& text) const {
  const Piece& piece = text.pieces[token.piece];
  const std::string_view view =
      piece.token >= 0 ? text.of(piece) : std::string_view(*model->vocab().token(token.id));
  const auto is_space = [](char32_t c) {
    return unicode::is_whitespace(c) || c == byte_level_char(' ');
  };
  Draft::Spaces spaces{0, 0};
  for (size_t at = 0; at < view.size() && is_space(utf8::next(view, at));) ++spaces.leading;
  for (size_t at = view.size(); at > 0 && is_space(utf8::previous(view, at));) ++spaces.trailing;
  return spaces;
}

Draft Tokenizer::Impl::encode(std::string_view raw, size_t limit,
                              const EncodeOptions& options) const {
  check(raw.size() < size_t{1} << 31, "[tokenizer] a text of ", raw.size(),
        " bytes is too long; the limit is 2 GiB");
  std::string repaired;
  if (utf8::first_invalid(raw) != raw.size()) {
    repaired = utf8::replace_bad_bytes(raw);
    check(repaired.size() < size_t{1} << 31, "[tokenizer] the text is too long and not UTF-8");
    raw = repaired;
  }
  const ScratchLease scratch(*this);
  PreTokens& text = scratch->text;
  text.clear();
  text.tracked = options.offsets || options.accept_added != nullptr ||
                 (pre_tokenizer != nullptr && pre_tokenizer->asks_for_origins());
  added.cut(raw, normalizer.get(), options.accept_added, text);
  if (pre_tokenizer != nullptr) pre_tokenizer->apply(text);

  Draft draft;
  Encoding& encoding = draft.encoding;
  if (!options.offsets) {
    encoding.ids.reserve(std::min(limit, text.pieces.size() * 3 / 2 + 8));
    model->encode_ids(text, limit, options.dropout, scratch->model, encoding.ids);
    encoding.special.assign(encoding.ids.size(), 0);
    return draft;
  }
  std::vector<ModelToken>& tokens = scratch->tokens;
  tokens.clear();
  model->encode(text, limit, options.dropout, scratch->model, tokens);
  encoding.ids.reserve(tokens.size());
  encoding.offsets.reserve(tokens.size());
  encoding.word_ids.reserve(tokens.size());
  CodePointCounter begins(raw), ends(raw);
  for (const ModelToken& token : tokens) {
    const TextSpan span = text.original(token.begin, token.end);
    encoding.ids.push_back(token.id);
    encoding.offsets.emplace_back(begins.at(span.begin), ends.at(span.end));
    encoding.word_ids.push_back(static_cast<int32_t>(token.piece));
  }
  encoding.special.assign(tokens.size(), 0);
  if (post_processor != nullptr && post_processor->trims_offsets())
    for (const ModelToken& token : tokens) draft.spaces.push_back(spaces(token, text));
  return draft;
}

std::unique_ptr<Tokenizer::Impl::Scratch> Tokenizer::Impl::take_scratch() const {
  const std::lock_guard lock(scratch_mutex);
  if (free_scratch.empty()) return std::make_unique<Scratch>();
  auto scratch = std::move(free_scratch.back());
  free_scratch.pop_back();
  return scratch;
}

void Tokenizer::Impl::give_back(std::unique_ptr<Scratch> scratch) const {
  // What an exceptionally long text needed is not kept.
  constexpr size_t kKeptBytes = size_t{1} << 24;
  if (scratch->text.owned.capacity() > kKeptBytes || scratch->text.pieces.capacity() > kKeptBytes ||
      scratch->tokens.capacity() > kKeptBytes)
    return;
  const std::lock_guard lock(scratch_mutex);
  free_scratch.push_back(std::move(scratch));
}

Encoding Tokenizer::Impl::compose(std::vector<Draft> drafts, const EncodeOptions& options) const {
  for (size_t i = 0; i < drafts.size(); ++i)
    drafts[i].encoding.type_ids.assign(drafts[i].encoding.ids.size(), static_cast<int32_t>(i));
  if (post_processor != nullptr) post_processor->apply(drafts, options.special_tokens);

  Encoding all;
  if (!drafts.empty()) all = std::move(drafts[0].encoding);
  for (size_t i = 1; i < drafts.size(); ++i) {
    const auto append = [](auto& to, const auto& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    const Encoding& part = drafts[i].encoding;
    append(all.ids, part.ids);
    append(all.type_ids, part.type_ids);
    append(all.offsets, part.offsets);
    append(all.word_ids, part.word_ids);
    append(all.special, part.special);
  }
  if (!options.offsets) {
    all.offsets.clear();
    all.word_ids.clear();
  }
  return all;
}

Encoding Tokenizer::Impl::finish(std::vector<Draft> drafts, const EncodeOptions& options) const {
  const Truncation& cut = options.truncation;
  check(cut.max_length >= 0, "[tokenizer] max_length is ", cut.max_length);
  if (cut.max_length == 0) return compose(std::move(drafts), options);

  const int added_tokens = options.special_tokens && post_processor != nullptr
                               ? post_processor->added(drafts.size() == 2)
                               : 0;
  check(cut.max_length >= added_tokens, "[tokenizer] a length of ", cut.max_length,
        " has no room for the ", added_tokens, " special tokens");
  std::vector<size_t> sizes;
  for (const Draft& draft : drafts) sizes.push_back(draft.encoding.ids.size());
  const auto windows =
      truncation_windows(sizes, static_cast<size_t>(cut.max_length - added_tokens), cut);
  const auto of = [&](size_t first, size_t second) {
    std::vector<Draft> parts{slice(drafts[0], windows[0][first])};
    parts[0].cut_off = first > 0;
    if (drafts.size() == 2) {
      parts.push_back(slice(drafts[1], windows[1][second]));
      parts[1].cut_off = second > 0;
    }
    return compose(std::move(parts), options);
  };
  Encoding out = of(0, 0);
  const size_t seconds = drafts.size() == 2 ? windows[1].size() : 1;
  if (options.overflow) {
    for (size_t first = 1; first < windows[0].size(); ++first)
      for (size_t second = 0; second < seconds; ++second) out.overflow.push_back(of(first, second));
    for (size_t second = 1; second < seconds; ++second) out.overflow.push_back(of(0, second));
  }
  return out;
}

Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl, const Json& config) : impl_(std::move(impl)) {
  if (config.is_null()) return;
  impl_->read_config(config);
  impl_->files.push_back({"tokenizer_config.json", config.dump(2) + "\n"});
}

Tokenizer Tokenizer::from_text(std::string file, std::string_view where, const Json& config) {
  return Tokenizer(std::make_unique<Impl>(std::move(file), where), config);
}

Tokenizer Tokenizer::from_json(const Json& file, std::string_view where, const Json& config) {
  return from_text(file.dump(2) + "\n", where, config);
}

Tokenizer Tokenizer::from_file(TokenizerFile file, std::string_view where, const Json& config) {
  return Tokenizer(std::make_unique<Impl>(std::move(file), where), config);
}

Encoding Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<Draft> drafts;
  const Truncation& cut = options.truncation;
  const bool stops = cut.max_length > 0 && cut.side == Side::right && !options.overflow;
  const size_t limit = stops ? static_cast<size_t>(cut.max_length) : kNoLimit;
  drafts.push_back(impl_->encode(text, limit, options));
  return impl_->finish(std::move(drafts), options);
}

Encoding Tokenizer::encode_pair(std::string_view first, std::string_view second,
                                const EncodeOptions& options) const {
  // Both in full, since how a pair is cut depends on their lengths.
  std::vector<Draft> drafts;
  drafts.push_back(impl_->encode(first, kNoLimit, options));
  drafts.push_back(impl_->encode(second, kNoLimit, options));
  return impl_->finish(std::move(drafts), options);
}

std::vector<Encoding> Tokenizer::encode_batch(std::span<const std::string_view> texts, Team& team,
                                              const EncodeOptions& options) const {
  std::vector<Encoding> out(texts.size());
  team.run_range(static_cast<int64_t>(texts.size()), 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = encode(texts[i], options);
  });
  return out;
}

const std::string* Tokenizer::Impl::decoder_text(int32_t id, bool skip_special_tokens) const {
  const std::string* text =
      added.token(id) != nullptr ? &added.decoded_text(id) : model->vocab().token(id);
  const bool skip = text != nullptr && skip_special_tokens && added.is_special(*text);
  return skip ? nullptr : text;
}

std::string Tokenizer::Impl::join(std::vector<std::string> tokens) const {
  if (decoder != nullptr) {
    decoder->apply(tokens);
  } else {
    for (size_t i = 1; i < tokens.size(); ++i) tokens[i].insert(0, 1, ' ');
  }
  std::string all;
  for (const std::string& token : tokens) all += token;
  return all;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const int32_t id : ids)
    if (const std::string* text = impl_->decoder_text(id, skip_special_tokens))
      tokens.push_back(*text);
  return impl_->join(std::move(tokens));
}

int32_t Tokenizer::vocab_size() const {
  return std::max(impl_->model->vocab().end_id(), impl_->added.end_id());
}

std::optional<int32_t> Tokenizer::id(std::string_view token) const {
  int32_t id = impl_->added.find(token);
  if (id < 0) id = impl_->model->vocab().find(token);
  return id < 0 ? std::nullopt : std::optional(id);
}

const std::string& Tokenizer::token(int32_t id) const {
  static const std::string none;
  const std::string* token = impl_->token(id);
  return token == nullptr ? none : *token;
}

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* token = impl_->added.token(id);
  return token != nullptr && token->special;
}

const SpecialTokens& Tokenizer::special() const { return impl_->special; }

std::optional<int> Tokenizer::max_length() const { return impl_->max_length; }

const Truncation& Tokenizer::truncation() const { return impl_->truncation; }
const Padding& Tokenizer::padding() const { return impl_->padding; }
double Tokenizer::dropout() const { return impl_->model->dropout(); }
Json Tokenizer::file() const {
  if (const auto* text = std::get_if<std::string>(&impl_->file))
    return Json::parse(*text, impl_->where);
  return std::get<TokenizerFile>(impl_->file).json();
}

// Roles and length, for a tokenizer that came without a configuration.
Json Tokenizer::Impl::config() const {
  Json config = Json::object();
  const auto role = [&](const char* name, std::optional<int32_t> id) {
    if (id) config.set(name, *token(*id));
  };
  role("bos_token", special.bos);
  role("eos_token", special.eos);
  role("unk_token", special.unk);
  role("sep_token", special.sep);
  role("pad_token", special.pad);
  role("cls_token", special.cls);
  role("mask_token", special.mask);
  if (max_length) config.set("model_max_length", *max_length);
  config.set("tokenizer_class", "PreTrainedTokenizerFast");
  return config;
}

void Tokenizer::save(const std::filesystem::path& directory) const {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  check(!error, "[", directory.string(), "] cannot be made: ", error.message());
  const auto* text = std::get_if<std::string>(&impl_->file);
  write_file(directory / "tokenizer.json", text != nullptr ? *text : file().dump(2) + "\n");
  bool configured = false;
  for (const auto& [name, bytes] : impl_->files) {
    write_file(directory / name, bytes);
    configured |= name == "tokenizer_config.json";
  }
  if (!configured) write_file(directory / "tokenizer_config.json", impl_->config().dump(2) + "\n");
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(tokenizer), skip_special_(skip_special_tokens) {}

std::string StreamDecoder::text_behind_context(size_t end) const {
  const auto joined = [&](size_t n) {
    return tokenizer_.impl_->join({tokens_.begin(), tokens_.begin() + n});
  };
  const std::string text = joined(end);
  return text.substr(std::min(text.size(), joined(context_).size()));
}

std::string StreamDecoder::push(int32_t id) {
  const Tokenizer::Impl& impl = *tokenizer_.impl_;
  const std::string* token = impl.decoder_text(id, skip_special_);
  if (token == nullptr) return "";
  tokens_.push_back(*token);
  const size_t settled = impl.decoder != nullptr ? impl.decoder->settled(tokens_) : tokens_.size();
  if (settled <= context_) return "";
  std::string text = text_behind_context(settled);
  if (!text.empty()) tokens_.erase(tokens_.begin(), tokens_.begin() + context_);
  context_ = text.empty() ? settled : settled - context_;
  return text;
}

std::string StreamDecoder::finish() {
  std::string text = text_behind_context(tokens_.size());
  tokens_.clear();
  context_ = 0;
  return text;
}

}  // namespace stemma
