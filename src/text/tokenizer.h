// Tokenizer: text to token ids and back, exactly as the published tokenizer files say.
// The reference is tokenizers.Tokenizer.from_file on tokenizer.json. Truncation, padding and
// dropout that the file asks for can be read here; they happen only where a call asks for them.
// Older directories (older/directory.h) load as the class named there would. Roles of special
// tokens and lengths come from tokenizer_config.json and special_tokens_map.json. Invalid UTF-8 in
// input: each bad byte is read as U+FFFD. Errors: Code::kNotFound where a directory has no
// tokenizer, Code::kUnsupported for a component that is not built, Code::kFailed for malformed
// files. Thread safety: a const Tokenizer may be used from many threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/team.h"
#include "text/dropout.h"
#include "text/encoding.h"

namespace stemma {

struct TokenizerFile;  // tokenizer_file.h

// Asked for each added token that is found in the text, with its bytes: false leaves it to the
// model as ordinary text.
using AcceptAddedToken = std::function<bool(int32_t id, size_t begin, size_t end)>;

struct EncodeOptions {
  bool special_tokens = true;
  Truncation truncation = {};
  bool overflow = false;  // keep what truncation cuts off
  bool offsets = true;    // and word ids
  // BPE dropout: probability and key of the draws. Another place in a text, other draws.
  Dropout dropout = {};
  AcceptAddedToken accept_added = nullptr;  // null: all
};

struct SpecialTokens {
  std::optional<int32_t> bos, eos, unk, sep, pad, cls, mask;
};

class Tokenizer {
 public:
  // From a model directory.
  static Tokenizer load(const std::filesystem::path& directory);
  // From a tokenizer.json; `where` opens error messages. `config` holds the contents of a
  // tokenizer_config.json (roles and lengths), if there is one.
  static Tokenizer from_text(std::string file, std::string_view where = "tokenizer.json",
                             const Json& config = {});
  static Tokenizer from_json(const Json& file, std::string_view where = "tokenizer.json",
                             const Json& config = {});
  static Tokenizer from_file(TokenizerFile file, std::string_view where = "tokenizer.json",
                             const Json& config = {});
  // 256 byte tokens and <|endoftext|> (id 256), as a byte-level BPE without merges.
  static Tokenizer bytes();

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  Encoding encode(std::string_view text, const EncodeOptions& options = {}) const;
  Encoding encode_pair(std::string_view first, std::string_view second,
                       const EncodeOptions& options = {}) const;
  // Texts one by one, on the threads of a team.
  std::vector<Encoding> encode_batch(std::span<const std::string_view> texts, Team& team,
                                     const EncodeOptions& options = {}) const;
  // Ids that no token has are passed over.
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens = true) const;

  int32_t vocab_size() const;  // ids are below this, added tokens included
  std::optional<int32_t> id(std::string_view token) const;
  const std::string& token(int32_t id) const;  // empty where no token has this id
  bool is_special(int32_t id) const;           // an added token marked special
  const SpecialTokens& special() const;
  // model_max_length of tokenizer_config.json, where it is a real limit.
  std::optional<int> max_length() const;
  // What the files ask for: max_length is 0 where that is no truncation, and padding has the sides
  // and ids of the configuration in any case.
  const Truncation& truncation() const;
  const Padding& padding() const;
  double dropout() const;
  Json file() const;  // the tokenizer.json it is made of

  // Writes tokenizer.json and tokenizer_config.json (the files it was loaded from, byte for byte,
  // where there were any), and special_tokens_map.json where there was one.
  void save(const std::filesystem::path& directory) const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl, const Json& config = {});
  std::unique_ptr<Impl> impl_;
  friend class StreamDecoder;
};

// Decodes ids one at a time, holding back what later ids may still change. All that push() and
// finish() return, joined, is what decode() makes of all ids.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = true);
  std::string push(int32_t id);  // the text that became certain, maybe empty
  std::string finish();          // what was held back (U+FFFD for broken bytes)

 private:
  std::string text_behind_context(size_t end) const;  // of tokens_, as far as `end`

  const Tokenizer& tokenizer_;
  bool skip_special_;
  // Texts of tokens. The first context_ are out already: they tell the decoder what came before.
  std::vector<std::string> tokens_;
  size_t context_ = 0;
};

}  // namespace stemma
